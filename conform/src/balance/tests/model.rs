//! Every short story of what resolver, network, clock and calls may do to a policy, one by one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

/// How many things happen in a story.
const LENGTH: usize = 5;

/// What may happen next.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    Resolved(Vec<Ports>),
    ResolverFails,
    /// The subchannel with this number, to this address.
    Becomes(u64, State),
    Wake,
    Call,
}

/// Of one backend.
type Ports = Vec<u16>;

/// A policy, and what is true of its subchannels.
struct World {
    channel: FakeChannel,
    lists: Vec<Vec<Ports>>,
    listed: Vec<Ports>,
    subchannels: BTreeMap<u64, Truth>,
}

struct Truth {
    address: Address,
    state: State,
    is_wanted: bool,
}

impl World {
    fn new(name: &str, config: &Value, lists: &[Vec<Ports>]) -> Self {
        let mut world = Self {
            channel: named(name, config.clone()),
            lists: lists.to_vec(),
            listed: Vec::new(),
            subchannels: BTreeMap::new(),
        };
        world.resolve(lists[0].clone());
        world.look();
        world
    }

    fn resolve(&mut self, list: Vec<Ports>) {
        let backends = list.iter().map(|ports| {
            let first = one(ports[0]);
            ports[1..]
                .iter()
                .fold(first, |backend, port| backend.or(at(*port)))
        });
        let backends: Vec<_> = backends.collect();
        let result = self.channel.resolved(&backends);
        assert_eq!(result.is_ok(), !list.is_empty());
        self.listed = list;
    }

    /// What may happen now.
    fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (id, truth) in &self.subchannels {
            let next: &[State] = match truth.state {
                State::Idle if truth.is_wanted => &[State::Connecting],
                State::Idle => &[],
                State::Connecting => &[State::Ready, State::TransientFailure, State::Idle],
                _ => &[State::Idle],
            };
            events.extend(next.iter().map(|state| Event::Becomes(*id, *state)));
        }
        if self.channel.wake_at().is_some() {
            events.push(Event::Wake);
        }
        if self.channel.state() == Some(State::Idle) {
            events.push(Event::Call);
        }
        let others = self.lists.iter().filter(|list| **list != self.listed);
        events.extend(others.cloned().map(Event::Resolved));
        events.push(Event::ResolverFails);
        events
    }

    async fn happens(&mut self, event: &Event) {
        match event {
            Event::Resolved(list) => self.resolve(list.clone()),
            Event::ResolverFails => self.channel.failed(&Status::unavailable("no DNS today")),
            Event::Becomes(id, state) => {
                let truth = self.subchannels.get_mut(id).unwrap();
                truth.state = *state;
                truth.is_wanted = false;
                let address = truth.address.clone();
                let state = match state {
                    State::Idle => Idle,
                    State::Connecting => Connecting,
                    State::Ready => Ready,
                    _ => failure("refused"),
                };
                assert!(self.channel.set(&address, state));
            }
            Event::Wake => {
                self.channel.wake().await;
            }
            Event::Call => {
                pick(&mut self.channel);
            }
        }
        self.look();
    }

    /// Which subchannels there are now, and which of them are to connect.
    fn look(&mut self) {
        let living = self.channel.living_ids();
        let wanted = self.channel.wanted();
        self.subchannels.retain(|id, _| living.contains_key(id));
        for (id, address) in living {
            let truth = self.subchannels.entry(id).or_insert(Truth {
                address,
                state: State::Idle,
                is_wanted: false,
            });
            truth.is_wanted |= wanted.contains(&truth.address);
        }
    }

    fn any(&self, is_so: impl Fn(&Truth) -> bool) -> bool {
        self.subchannels.values().any(is_so)
    }

    /// What holds whatever has happened.
    fn check(&mut self) {
        let state = self.channel.state().expect("it has published");
        let addresses: BTreeSet<_> = self.subchannels.values().map(|it| &it.address).collect();
        assert_eq!(
            addresses.len(),
            self.subchannels.len(),
            "one for each address"
        );
        let listed: BTreeSet<_> = self.listed.iter().flatten().map(|port| at(*port)).collect();
        assert!(
            addresses
                .into_iter()
                .all(|address| listed.contains(address))
        );

        // Where calls go, they can go.
        let is_ready = self.any(|it| it.state == State::Ready);
        assert_eq!(state == State::Ready, is_ready, "{state:?}");
        if state != State::Idle {
            for _ in 0..3 {
                match (state, pick(&mut self.channel)) {
                    (State::Ready, Pick::Use(picked)) => {
                        let truth = &self.subchannels[&picked.subchannel().id()];
                        assert_eq!(truth.state, State::Ready);
                    }
                    (State::Connecting, Pick::Wait) | (State::TransientFailure, Pick::Fail(_)) => {}
                    (_, pick) => panic!("{state:?}: {pick:?}"),
                }
            }
        }

        // Something is under way, so nobody waits for ever.
        let goes_on = self.any(|it| match it.state {
            State::Idle => it.is_wanted,
            _ => true,
        });
        match state {
            State::Connecting => assert!(goes_on || self.channel.wake_at().is_some()),
            State::TransientFailure => assert!(goes_on || self.listed.is_empty()),
            _ => {}
        }
    }
}

/// All stories, each from its beginning. Says how many there were.
async fn all_stories(name: &str, config: Value, lists: &[Vec<Ports>]) -> usize {
    let mut choices: Vec<usize> = Vec::new();
    let mut count = 0;
    loop {
        let mut world = World::new(name, &config, lists);
        let mut story = Vec::new();
        let mut widths = Vec::new();
        for step in 0..LENGTH {
            let events = world.events();
            if choices.len() == step {
                choices.push(0);
            }
            let event = events[choices[step]].clone();
            widths.push(events.len());
            story.push(event.clone());
            world.happens(&event).await;
            let told = std::panic::AssertUnwindSafe(|| world.check());
            assert!(std::panic::catch_unwind(told).is_ok(), "{name}: {story:?}");
        }
        count += 1;
        // The next one: the last choice that has another.
        while let Some(last) = choices.pop() {
            if last + 1 < widths[choices.len()] {
                choices.push(last + 1);
                break;
            }
        }
        if choices.is_empty() {
            return count;
        }
    }
}

/// connectivity-semantics-and-api.md and load-balancing.md, of all policies: the channel is READY while
/// one of its connections is, no call goes to one that isn't, and something is always under way.
#[tokio::test(start_paused = true)]
async fn whatever_happens_calls_go_where_they_can_or_wait_for_something() {
    let lists = [vec![vec![1], vec![2, 3]], vec![vec![2]], vec![]];
    for (name, config) in [
        ("pick_first", json!({})),
        ("round_robin", json!({})),
        ("static_weights", json!({})),
        ("least_request_experimental", json!({})),
        ("weighted_round_robin", json!({})),
        (
            "outlier_detection_experimental",
            json!({ "failurePercentageEjection": {}, "childPolicy": [{ "round_robin": {} }] }),
        ),
    ] {
        let count = all_stories(name, config, &lists).await;
        assert!(count > 1000, "{name}: {count}");
    }
}
