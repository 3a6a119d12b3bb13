//! Command lines that are wrong, and servers that can't be reached: a sentence for each.

use std::net::TcpListener as Bound;
use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt;
use greeter::greeter_server::GreeterServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use super::call::{Polite, method};
use super::*;
use crate::credentials::server_tls;
use crate::status::ClientStatus;
use crate::testing::{Served, framed, peer, soon};

fn parse(line: &[&str]) -> Result<Command, String> {
    Command::parse(line).map_err(|error| error.to_string())
}

#[test]
fn a_question_is_one_of_three() {
    let url = "http://localhost:50051";
    for (words, expected) in [
        (&[][..], Question::Services),
        (&["a.B"], Question::Text("a.B".into())),
        (&["a.B/C"], call("a.B/C", None)),
        (&["/a.B/C"], call("a.B/C", None)),
        (&["a.B/C", "{}"], call("a.B/C", Some("{}"))),
    ] {
        let command = parse(&[&[url], words].concat()).unwrap();
        assert_eq!(command.question, expected);
        assert_eq!(command.url, format!("{url}/"));
        assert_eq!(command.deadline, Duration::from_secs(30));
        assert!(!command.is_verbose);
    }
    let mut json = String::new();
    let read = call("a.B/C", Some("{} {}"))
        .input()
        .read_to_string(&mut json);
    assert_eq!((read.unwrap(), &*json), (5, "{} {}"));
}

fn call(method: &str, json: Option<&str>) -> Question {
    Question::Call {
        method: method.into(),
        json: json.map(Into::into),
    }
}

#[test]
fn options_stand_anywhere() {
    let line = [
        "-v",
        "-H",
        "a: b",
        "http://[::1]:1",
        "--deadline=0.5",
        "-Hc:d",
        "a.B",
    ];
    let command = parse(&line).unwrap();
    assert_eq!(command.question, Question::Text("a.B".into()));
    assert_eq!(metadata_lines(&command.metadata), ["a: b", "c: d"]);
    assert_eq!(command.deadline, Duration::from_millis(500));
    assert!(command.is_verbose);
    let most = parse(&["http://a", "--deadline", "1e300"]).unwrap();
    assert_eq!(most.deadline, Duration::from_secs(100_000_000));
}

#[test]
fn whatever_is_wrong_is_said_in_a_sentence() {
    let here = "http://localhost:50051";
    for (line, expected) in [
        (
            &[][..],
            "a URL is missing: http://localhost:50051, for instance",
        ),
        (&["-v"], "a URL is missing"),
        (
            &["localhost:50051"],
            "or, for TLS, with https://: not `localhost:50051`",
        ),
        (&["a.B", here], "the URL comes first"),
        (&["http://"], "`http://` is no URL"),
        (&["http://local host"], "is no URL"),
        (
            &["http://a:1/a.B/C"],
            "the URL ends after `a:1`: a service's name is a word of its own",
        ),
        (
            &[here, "a.B", "C"],
            "a method is one word, SERVICE/METHOD: `a.B/C`?",
        ),
        (
            &[here, "a.B", "C", "12"],
            "a method is one word, SERVICE/METHOD: `a.B/C`?",
        ),
        (
            &[here, "a.B/C", "{value:", "12}"],
            "put quotes around the JSON, '{\"value\": 12}'",
        ),
        (
            &[here, "--deadline", "-1"],
            "a deadline can't be -1 seconds from now",
        ),
        (&[here, "--deadline", "soon"], "cannot parse argument"),
        (&[here, "-H"], "missing argument for option '-H'"),
        (
            &[here, "-H", "a"],
            "metadata has the form `name: value`, not `a`",
        ),
        (&[here, "--plaintext"], "invalid option '--plaintext'"),
        (
            &[here, "--cacert", "ca.pem"],
            "are for a URL that begins with https://",
        ),
        (
            &[here, "--cert", "c", "--key", "k"],
            "are for a URL that begins with https://",
        ),
        (&["https://a"], "https:// needs --cacert FILE"),
        (
            &["https://a", "--cacert", "c", "--key", "k"],
            "--cert and --key belong together",
        ),
        (
            &["https://a", "--cacert", "c", "--cert", "k"],
            "--cert and --key belong together",
        ),
    ] {
        let error = parse(line).unwrap_err();
        assert!(error.contains(expected), "{line:?}: {error}");
    }
}

#[test]
fn a_secret_is_sent_in_plain_text_to_this_machine_only() {
    for (name, is_secret) in [
        ("authorization", true),
        ("Cookie", true),
        ("proxy-authorization", true),
        ("who", false),
    ] {
        let line = format!("{name}: token-of-ann");
        for (url, is_here) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://LocalHost", true),
            ("http://10.0.0.1:1", false),
            ("http://127.0.0.1.example", false),
            ("http://localhost@example.com", false),
            ("http://example.com", false),
        ] {
            let parsed = parse(&[url, "-H", &line]);
            assert_eq!(parsed.is_ok(), is_here || !is_secret, "{url} {line}");
            match parsed {
                Ok(command) => {
                    let shown = format!("{command:?}");
                    assert_eq!(shown.contains("token-of-ann"), !is_secret, "{shown}");
                }
                Err(error) => {
                    let expected = "isn't sent over http:// to another machine";
                    assert!(error.contains(expected), "{error}");
                    assert!(!error.contains("token-of-ann"), "{error}");
                }
            }
        }
        parse(&["https://example.com", "--cacert", "ca.pem", "-H", &line]).unwrap();
    }
}

/// A folder with what `openssl` would make.
struct Files {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Files {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let files = Self {
            folder: TempDir::new().unwrap(),
            ca,
        };
        files.write("ca.pem", &files.ca.pem());
        files.write("garbage", "garbage");
        files.certify("ann");
        files.certify("bob");
        files
    }

    fn certify(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &self.ca).unwrap();
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
        Identity::from_pem(certificate.pem(), key.serialize_pem())
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn certificate(&self) -> Certificate {
        Certificate::from_pem(self.ca.pem())
    }

    /// The command to ask what is at this URL, with these options and files.
    fn command(&self, url: &str, options: &[(&str, &str)]) -> Command {
        let mut line = vec![url.to_owned()];
        for (option, value) in options {
            let path = self.path(value).display().to_string();
            let is_file = *option != "--authority";
            line.extend([
                (*option).to_owned(),
                if is_file { path } else { (*value).to_owned() },
            ]);
        }
        Command::parse(line).unwrap()
    }
}

/// Greets, and tells what it does.
async fn serve(tls: Option<ServerTlsConfig>) -> Served {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/greeter");
    let descriptors = protox::compile(["greeter.proto"], [folder]).unwrap();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(&descriptors.encode_to_vec())
        .build_v1()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = crate::server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).unwrap();
    }
    let server = server
        .add_service(reflection)
        .add_service(GreeterServer::new(Polite))
        .serve_with_incoming(crate::server::incoming(listener));
    Served::new(address, server.map(drop))
}

/// The services that a command is told of, or what went wrong.
async fn ask(command: Command) -> Result<Vec<String>, String> {
    let channel = soon(command.connect())
        .await
        .map_err(|error| error.to_string())?;
    let mut server = ReflectionClient::new(ClientStatus::new(channel));
    server
        .services()
        .await
        .map_err(|error| command.explain(&error))
}

const SERVICES: [&str; 2] = ["greeter.v1.Greeter", "grpc.reflection.v1.ServerReflection"];

#[tokio::test]
async fn a_server_is_asked_over_tls_with_a_certificate_on_each_side() {
    let files = Files::new("a CA");
    let tls = server_tls(files.certify("localhost")).client_ca_root(files.certificate());
    let server = serve(Some(tls)).await;
    let url = format!("https://localhost:{}", server.address.port());
    let ann = [
        ("--cacert", "ca.pem"),
        ("--cert", "ann.pem"),
        ("--key", "ann.key"),
    ];
    assert_eq!(ask(files.command(&url, &ann)).await.unwrap(), SERVICES);
    // Whoever has none hears it with the first call, and not always in the same words.
    let nobody = ask(files.command(&url, &ann[..1])).await.unwrap_err();
    let expected = "the connection is lost, or the server wants to see a certificate (--cert FILE";
    assert!(nobody.starts_with(expected), "{nobody}");
}

#[tokio::test]
async fn a_server_of_another_name_is_asked_by_that() {
    let files = Files::new("a CA");
    let server = serve(Some(server_tls(files.certify("greeter.example")))).await;
    let url = format!("https://localhost:{}", server.address.port());
    let ca = ("--cacert", "ca.pem");
    let error = ask(files.command(&url, &[ca])).await.unwrap_err();
    assert!(
        error.contains("not valid for name \"localhost\""),
        "{error}"
    );
    for authority in ["greeter.example", "greeter.example:443"] {
        let command = files.command(&url, &[ca, ("--authority", authority)]);
        assert_eq!(ask(command).await.unwrap(), SERVICES, "{authority}");
    }
    let error = ask(files.command(&url, &[ca, ("--authority", "a b")])).await;
    assert_eq!(error.unwrap_err(), "`a b` is no name of a server");
}

#[tokio::test]
async fn files_that_are_no_good_are_named() {
    let (files, url) = (Files::new("a CA"), "https://localhost:1");
    let ca = ("--cacert", "ca.pem");
    for (options, file, expected) in [
        (&[("--cacert", "nowhere")][..], "nowhere", "can't be read: "),
        (
            &[("--cacert", "garbage")],
            "garbage",
            "holds no certificate in PEM",
        ),
        (
            &[("--cacert", "ann.key")],
            "ann.key",
            "holds no certificate in PEM",
        ),
        (
            &[ca, ("--cert", "nowhere"), ("--key", "ann.key")],
            "nowhere",
            "can't be read: ",
        ),
        (
            &[ca, ("--cert", "ann.key"), ("--key", "ann.key")],
            "ann.key",
            "holds no certificate",
        ),
        (
            &[ca, ("--cert", "ann.pem"), ("--key", "nowhere")],
            "nowhere",
            "can't be read: ",
        ),
        (
            &[ca, ("--cert", "ann.pem"), ("--key", "ann.pem")],
            "ann.pem",
            "holds no private key in PEM",
        ),
        (
            &[ca, ("--cert", "ann.pem"), ("--key", "bob.key")],
            "ann.pem",
            "can't be used: the key belongs to another certificate",
        ),
    ] {
        let error = ask(files.command(url, options)).await.unwrap_err();
        let named = files.path(file).display().to_string();
        assert!(
            error.contains(&named) && error.contains(expected),
            "{options:?}: {error}"
        );
    }
}

#[tokio::test]
async fn who_is_not_there_or_not_the_right_one_is_said() {
    let (files, other) = (Files::new("a CA"), Files::new("another CA"));
    let secure = serve(Some(server_tls(files.certify("localhost")))).await;
    let plain = serve(None).await;
    let ca = [("--cacert", "ca.pem")];
    let (secure, plain) = (secure.address.port(), plain.address.port());
    let error = ask(files.command(&format!("http://localhost:{secure}"), &[])).await;
    let expected = "the server speaks TLS: its URL begins with https://";
    assert_eq!(error.unwrap_err(), expected);
    let error = ask(files.command(&format!("https://localhost:{plain}"), &ca)).await;
    let expected = "the server doesn't speak TLS: its URL begins with http://";
    assert_eq!(error.unwrap_err(), expected);
    let error = ask(other.command(&format!("https://localhost:{secure}"), &ca)).await;
    let expected = format!(
        "nobody in `{}` has signed the server's certificate",
        other.path("ca.pem").display()
    );
    assert_eq!(error.unwrap_err(), expected);
    assert_eq!(
        ask(files.command(&format!("http://localhost:{plain}"), &[]))
            .await
            .unwrap(),
        SERVICES
    );
    // Bound, and not listening any more.
    let free = Bound::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = ask(files.command(&format!("http://{free}"), &[]))
        .await
        .unwrap_err();
    assert!(error.to_lowercase().contains("refused"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = peer(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    });
    let silent = silent.await;
    let files = Files::new("a CA");
    let url = format!("https://localhost:{}", silent.address.port());
    let begin = tokio::time::Instant::now();
    let error = ask(files.command(&url, &[("--cacert", "ca.pem")])).await;
    assert!(error.is_err());
    assert!(
        begin.elapsed() <= Duration::from_secs(11),
        "{:?}",
        begin.elapsed()
    );
}

/// It has sent one of its replies, and is gone.
#[tokio::test]
async fn a_server_that_is_gone_in_mid_call_is_a_lost_connection() {
    let (go, gone) = tokio::sync::watch::channel(false);
    let server = peer(move |stream| {
        let mut gone = gone.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
            let head = tonic::codegen::http::Response::builder();
            let head = head.header("content-type", "application/grpc").body(());
            let mut send = respond.send_response(head.unwrap(), false).unwrap();
            send.send_data(framed(b"Hello!"), false).unwrap();
            tokio::select! {
                _ = connection.accept() => {}
                () = async { drop(gone.wait_for(|is_gone| *is_gone).await) } => {}
            }
        }
    });
    let server = server.await;
    let url = format!("http://{}", server.address);
    let command = parse(&[&url]).unwrap();
    let channel = ClientStatus::new(command.connect().await.unwrap());
    let name = &br#"{"name": "Ann"}"#[..];
    let often = method("GreetOften");
    let replies = call_json(channel, &often, Request::new(()), name);
    let mut replies = soon(replies).await.unwrap().into_inner();
    let first = soon(replies.message()).await.unwrap().unwrap();
    assert_eq!(to_json(&first).unwrap(), r#"{"text":"Hello!"}"#);
    go.send_replace(true);
    let error = soon(replies.message()).await.unwrap_err();
    let said = command.explain(&error);
    assert!(said.starts_with("the connection is lost: "), "{said}");
    assert_eq!(status_of(&error).unwrap().code(), tonic::Code::Unavailable);
    // A server that says it itself is there.
    let busy = Status::unavailable("come back later");
    assert_eq!(command.explain(&busy), "Unavailable: come back later");
}
