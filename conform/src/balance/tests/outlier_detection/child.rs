//! What the policy inside hears.

use std::sync::Mutex;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_child_is_woken_at_its_own_times() {
    let mut channel = detecting(by_percentage());
    let both = Backend::new(at(1)).or(at(11));
    channel.resolved(&[both]).unwrap();
    channel.set(&at(1), Connecting);
    // Happy eyeballs, long before the sweep.
    let begin = Instant::now();
    assert!(channel.wake().await);
    assert_eq!(begin.elapsed(), crate::balance::CONNECTION_ATTEMPT_DELAY);
    assert_eq!(channel.subchannels(), [at(1), at(11)]);
    assert_eq!(channel.wake_at(), Some(begin + Duration::from_secs(10)));
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Heard {
    End(Option<Code>),
    State(State),
    ResolverFailed,
    Connect,
}

/// Calls its first backend, and hears what it's told.
#[derive(Clone, Debug, Default)]
struct Hearing {
    heard: Arc<Mutex<Vec<Heard>>>,
    first: Option<Subchannel>,
}

impl Hearing {
    fn hear(&self, heard: Heard) {
        self.heard.lock().unwrap().push(heard);
    }

    /// Since the last time.
    fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

impl PolicyBuilder for Hearing {
    fn name(&self) -> &str {
        "hearing"
    }

    fn parse(&self, _: &Value) -> Result<Arc<dyn PolicyConfig>, String> {
        Ok(Arc::new(self.clone()))
    }
}

impl PolicyConfig for Hearing {
    fn build(&self) -> Box<dyn Policy> {
        Box::new(self.clone())
    }
}

impl Policy for Hearing {
    fn resolved(&mut self, backends: &[Backend], control: &mut dyn Control) -> Result<(), String> {
        let address = &backends[0].addresses()[0];
        let same = self.first.take().filter(|first| first.address() == address);
        let first = same.unwrap_or_else(|| control.subchannel(&backends[0], address));
        self.first = Some(first.clone());
        let hearing = self.clone();
        let picker = move |_: &Call<'_>| {
            let hearing = hearing.clone();
            let picked = crate::balance::Picked::new(first.clone());
            Pick::Use(picked.on_end(move |end| hearing.hear(Heard::End(end.code))))
        };
        control.publish(State::Ready, Arc::new(picker));
        Ok(())
    }

    fn failed(&mut self, _: &Status, _: &mut dyn Control) {
        self.hear(Heard::ResolverFailed);
    }

    fn changed(&mut self, _: &Subchannel, state: &SubchannelState, _: &mut dyn Control) {
        self.hear(Heard::State(state.state()));
    }

    fn connect(&mut self, _: &mut dyn Control) {
        self.hear(Heard::Connect);
    }
}

fn heard_by(hearing: &Hearing) -> Box<dyn Policy> {
    let rule = json!({ "minimumHosts": 1, "requestVolume": 1 });
    let child = json!([{ "hearing": {} }]);
    let config = json!({ "failurePercentageEjection": rule, "childPolicy": child });
    let registry = Registry::new().with(hearing.clone());
    let chosen = registry.policy(Builder.name(), &config).unwrap();
    chosen.config().build()
}

#[test]
fn a_policy_of_your_own_may_be_inside_and_hears_of_all() {
    let hearing = Hearing::default();
    let mut channel = FakeChannel::new(heard_by(&hearing));
    channel.resolved(&backends(1..=2)).unwrap();
    calls(&mut channel, 2, |_, number| number == 1);
    let codes = [Code::Ok, Code::Internal];
    assert_eq!(hearing.heard(), codes.map(|code| Heard::End(Some(code))));
    channel.failed(&Status::unavailable("no DNS today"));
    assert_eq!(hearing.heard(), [Heard::ResolverFailed]);
    heard_by(&hearing).connect(&mut Nothing);
    assert_eq!(hearing.heard(), [Heard::Connect]);
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_to_an_ejected_backend_is_ejected_too() {
    let hearing = Hearing::default();
    let mut channel = FakeChannel::new(heard_by(&hearing));
    channel.resolved(&backends([1, 2])).unwrap();
    calls(&mut channel, 1, |_, _| true);
    let _ = hearing.heard();
    channel.wake().await;
    let ejected = [Heard::State(State::TransientFailure)];
    assert_eq!(hearing.heard(), ejected);
    channel.resolved(&backends([2, 1])).unwrap();
    assert_eq!(hearing.heard(), []);
    channel.resolved(&backends([1, 2])).unwrap();
    assert_eq!(hearing.heard(), ejected);
    // With another address it's another backend, though the connection is the same.
    channel.resolved(&[Backend::new(at(1)).or(at(11))]).unwrap();
    assert_eq!(hearing.heard(), [Heard::State(State::Idle)]);
}

struct Nothing;

impl Control for Nothing {
    fn subchannel(&mut self, _: &Backend, _: &Address) -> Subchannel {
        unreachable!()
    }

    fn publish(&mut self, _: State, _: Arc<dyn Picker>) {}

    fn re_resolve(&mut self) {}

    fn wake_at(&mut self, _: Instant) {}
}
