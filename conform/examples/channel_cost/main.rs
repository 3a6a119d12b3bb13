//! What a call costs on a channel of `conform`, beside tonic's own, and what each part adds.
//!
//! ```console
//! $ cargo run --release -p conform --example channel_cost
//! ```
//!
//! It makes calls as small as can be, one after another over loopback, to one server, and nothing
//! fails: the most that the layers can weigh. Client and server share one thread, so allocations are
//! both sides', and what counts is how many more there are than in the first line. Each line of
//! tonic's channel has one layer more than the line above; `conform`'s has all of them, made for each
//! other.
//!
//! Then it picks among two backends and among a thousand.

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

mod calls;
mod picks;

use calls::CALLS;

/// How often calls are timed.
const ROUNDS: usize = 40;

fn main() -> Result<(), Box<dyn Error>> {
    call_costs()?;
    println!();
    pick_costs()
}

fn call_costs() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let compared = calls::compared(&runtime)?;
    let mut compared: Vec<_> = compared.into_iter().map(|it| (it, Vec::new())).collect();
    // The first round of each connects, and warms up.
    for (compared, _) in &mut compared {
        compared.calls(&runtime)?;
    }
    for _ in 0..ROUNDS {
        for (compared, times) in &mut compared {
            let begin = Instant::now();
            compared.calls(&runtime)?;
            times.push(begin.elapsed() / CALLS);
        }
    }

    println!("                        µs a call    more   allocations    more");
    let mut first = None;
    for (compared, times) in &mut compared {
        times.sort();
        let median: Duration = times.get(ROUNDS / 2).copied().unwrap_or_default();
        let micros = median.as_secs_f64() * 1e6;
        let allocations = compared.allocations(&runtime)?;
        let (least_micros, least_allocations) = *first.get_or_insert((micros, allocations));
        println!(
            "{:22} {micros:10.1} {:+7.1} {allocations:13.1} {:+7.1}",
            compared.name,
            micros - least_micros,
            allocations - least_allocations,
        );
    }
    Ok(())
}

fn pick_costs() -> Result<(), Box<dyn Error>> {
    println!("                            ns a pick of 2   of 1,000");
    for (name, config) in picks::POLICIES {
        let two = picks::pick(name, config, 2)?;
        let thousand = picks::pick(name, config, 1000)?;
        println!("{name:27} {:14} {:10}", two.as_nanos(), thousand.as_nanos());
    }
    Ok(())
}
