//! The wire view as a program: passes calls on, and prints each as a ladder, while it happens.

use std::error::Error;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::{signal, task};
use wire::options::{HELP, Options};
use wire::{Descriptors, Json, Ladder, Only, Printer, Seen, Show, Tap, TlsFiles};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args_os().skip(1))?;
    if options.help {
        println!("{HELP}");
        return Ok(());
    }
    let descriptors = Descriptors::built_in();
    for folder in &options.protos {
        descriptors.add_protos(folder)?;
    }
    for file in &options.descriptor_sets {
        descriptors.add_descriptor_set(file)?;
    }
    if options.open.is_some() {
        return open(&options, &descriptors);
    }
    serve(options, descriptors).await
}

/// Shows a recording.
fn open(options: &Options, descriptors: &Descriptors) -> Result<(), Box<dyn Error>> {
    let Some(file) = &options.open else {
        return Ok(());
    };
    let recording = wire::open(file, descriptors)?;
    let mut printer = printer(options, descriptors);
    let print = || {
        for event in recording {
            if let Some(event) = options.only.filter(&event?) {
                printer.event(&event)?;
            }
        }
        printer.flush()
    };
    match print() {
        // The reader of this output has seen enough: `| head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed?),
    }
}

/// Stands between clients and the server until Ctrl-C.
async fn serve(options: Options, descriptors: Descriptors) -> Result<(), Box<dyn Error>> {
    let (listen, to) = (&options.listen, &options.to);
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("listening on {listen} failed: {error}"))?;
    let mut builder = Tap::builder()
        .faults(options.faults)
        .descriptors(descriptors.clone())
        .reflection(true);
    if let Some(file) = &options.save {
        builder = builder.save(file);
    }
    if let Some([certificate, key, ca]) = options.tls.clone() {
        let mut files = TlsFiles::new(certificate, key, ca);
        if let Some([certificate, key]) = options.client_tls.clone() {
            files = files.client(certificate, key);
        }
        builder = builder.tls(files);
    }
    let tap = builder
        .serve(listener, to)
        .map_err(|error| match &options.save {
            Some(file) if options.tls.is_none() => {
                format!("saving to {} failed: {error}", file.display())
            }
            _ => error.to_string(),
        })?;
    let tap = Arc::new(tap);
    let mut printer = printer(&options, &descriptors);
    printer.listening(&tap.address().to_string(), to)?;
    printer.flush()?;
    let only = options.only.clone();
    // On a thread of its own: a terminal that is slow holds up nothing but itself.
    let printed = tap.clone();
    task::spawn_blocking(move || print(&printed, printer, &only));
    signal::ctrl_c().await?;
    if let Some(saved) = tap.finish_saving() {
        let saved = saved?;
        eprintln!(
            "saved {} bytes of traffic; {} were dropped",
            saved.bytes, saved.dropped
        );
    }
    // Not a return: that would wait for the thread that prints.
    std::process::exit(0);
}

/// Prints until the output is closed.
fn print(tap: &Tap, mut printer: Box<dyn Printer + Send>, only: &Only) -> io::Result<()> {
    let runtime = Handle::current();
    let mut events = tap.events();
    loop {
        match events.try_next() {
            Some(Seen::Event(event)) => {
                if event.frame().is_some_and(|frame| frame.call.is_some()) {
                    runtime.block_on(tap.reflected());
                }
                if let Some(event) = only.filter(&event) {
                    printer.event(&event)?;
                }
            }
            Some(Seen::Missed(missed)) => printer.missed(missed)?,
            None => {
                printer.flush()?;
                runtime.block_on(events.changed());
            }
        }
    }
}

fn printer(options: &Options, descriptors: &Descriptors) -> Box<dyn Printer + Send> {
    let out: Box<dyn Write + Send> = Box::new(BufWriter::new(io::stdout()));
    if options.json {
        return Box::new(Json::new(out, options.secrets));
    }
    let show = Show {
        all: options.all,
        bytes: options.bytes,
        colour: colours(),
        secrets: options.secrets,
    };
    Box::new(Ladder::new(out, show).descriptors(descriptors.clone()))
}

fn colours() -> bool {
    if anstyle_query::no_color() {
        return false;
    }
    // Old consoles of Windows have to be asked first.
    #[cfg(windows)]
    let able = anstyle_query::windows::enable_ansi_colors().unwrap_or(true);
    #[cfg(not(windows))]
    let able = anstyle_query::term_supports_ansi_color();
    anstyle_query::clicolor_force() || (io::stdout().is_terminal() && able)
}
