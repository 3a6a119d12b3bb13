//! Against a DNS server on loopback.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::CNAME;
use hickory_resolver::proto::rr::{RData, Record};
use tokio::net::UdpSocket;

use super::*;
use crate::resolver::{Schemes, UpdatesReceiver};
use crate::testing::{Served, soon};

/// A name, and the kind of its records.
type Question = (String, RecordType);

/// What is known of it: data and TTL of each record; or how the question is refused.
type Known = Result<Vec<(RData, u32)>, ResponseCode>;

#[derive(Clone, Default)]
struct Zone {
    known: Arc<Mutex<HashMap<Question, Known>>>,
    asked: Arc<Mutex<Vec<Question>>>,
}

impl Zone {
    fn set(&self, name: &str, records: &[(&str, u32)]) {
        for (of, is_right) in [
            (RecordType::A, IpAddr::is_ipv4 as fn(&IpAddr) -> bool),
            (RecordType::AAAA, IpAddr::is_ipv6),
        ] {
            let records = records.iter().map(|(ip, ttl)| (ip.parse().unwrap(), *ttl));
            let records = records.filter(|(ip, _)| is_right(ip));
            let records = records.map(|(ip, ttl)| (RData::from(ip), ttl)).collect();
            self.put(name, of, Ok(records));
        }
    }

    fn put(&self, name: &str, of: RecordType, known: Known) {
        self.known
            .lock()
            .unwrap()
            .insert((name.to_owned(), of), known);
    }

    /// What it was asked since the last time, sorted.
    fn asked(&self) -> Vec<Question> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked
    }

    fn answer(&self, request: &Message) -> Message {
        let query = &request.queries[0];
        let name = query.name().to_ascii();
        let question = (name.trim_end_matches('.').to_owned(), query.query_type());
        self.asked.lock().unwrap().push(question.clone());
        let mut response = Message::response(request.metadata.id, OpCode::Query);
        response.add_query(query.clone());
        match self.known.lock().unwrap().get(&question) {
            Some(Ok(records)) => {
                let mut owner = query.name().clone();
                for (data, ttl) in records {
                    response.add_answer(Record::from_rdata(owner.clone(), *ttl, data.clone()));
                    if let RData::CNAME(CNAME(name)) = data {
                        owner = name.clone();
                    }
                }
            }
            Some(Err(code)) => response.metadata.response_code = *code,
            None => response.metadata.response_code = ResponseCode::NXDomain,
        }
        response
    }

    async fn serve(&self) -> Served {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = self.clone();
        Served::new(address, async move {
            let mut buffer = [0; 4096];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let request = Message::from_vec(&buffer[..length]).unwrap();
                let response = zone.answer(&request).to_vec().unwrap();
                socket.send_to(&response, client).await.unwrap();
            }
        })
    }
}

async fn look_up(server: &Served, name: &str) -> Result<Answer, String> {
    soon(Hickory::new(Some(server.address)).lookup(name)).await
}

fn answer(addresses: &[&str], ttl: u64, failed: Option<Family>) -> Answer {
    Answer {
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        ttl: Some(Duration::from_secs(ttl)),
        failed,
    }
}

#[tokio::test]
async fn both_families_are_asked_for_and_nothing_is_remembered() {
    let zone = Zone::default();
    let server = zone.serve().await;
    let name = "greeter.test";
    zone.set(name, &[("10.0.0.2", 300), ("10.0.0.1", 300), ("::1", 60)]);
    let found = look_up(&server, name).await;
    assert_eq!(
        found,
        Ok(answer(&["10.0.0.2", "10.0.0.1", "::1"], 60, None))
    );
    let questions = [RecordType::A, RecordType::AAAA].map(|of| (name.to_owned(), of));
    assert_eq!(zone.asked(), questions);

    // The same resolver, as a channel has it.
    let resolver = Hickory::new(Some(server.address));
    assert_eq!(soon(resolver.lookup(name)).await, found);
    zone.set(name, &[("10.0.0.3", 300)]);
    let found = soon(resolver.lookup(name)).await;
    assert_eq!(found, Ok(answer(&["10.0.0.3"], 300, None)));
    zone.set(name, &[("::3", 0)]);
    assert_eq!(
        soon(resolver.lookup(name)).await,
        Ok(answer(&["::3"], 0, None))
    );
    assert_eq!(zone.asked().len(), 6);
}

#[tokio::test]
async fn a_target_names_the_server_to_ask() {
    let zone = Zone::default();
    let server = zone.serve().await;
    zone.set("greeter.test", &[("10.0.0.1", 300), ("::1", 60)]);
    let schemes = Schemes::new();
    zone.set("my_greeter.test", &[("10.0.0.1", 300), ("::1", 60)]);
    for name in ["greeter.test", "Greeter.TEST.", "my_greeter.test"] {
        let text = format!("dns://{}/{name}:50051", server.address);
        let target = schemes.target(&text).unwrap();
        let mut updates = UpdatesReceiver::spawn(schemes.build(&target).unwrap());
        let delivery = soon(updates.next()).await.unwrap();
        let backends = delivery.update.backends.unwrap();
        let addresses = backends
            .iter()
            .map(|backend| backend.addresses()[0].to_string());
        assert_eq!(
            addresses.collect::<Vec<_>>(),
            ["10.0.0.1:50051", "[::1]:50051"]
        );
    }
}

#[tokio::test]
async fn the_ttl_is_the_shortest_of_the_chain() {
    let zone = Zone::default();
    let server = zone.serve().await;
    let alias = RData::CNAME(CNAME(Name::from_ascii("other.test.").unwrap()));
    let ip = RData::from(IpAddr::from([10, 0, 0, 1]));
    let records = vec![(alias, 7), (ip, 300)];
    zone.put("alias.test", RecordType::A, Ok(records));
    zone.put("alias.test", RecordType::AAAA, Ok(Vec::new()));
    let found = look_up(&server, "alias.test").await;
    assert_eq!(found, Ok(answer(&["10.0.0.1"], 7, None)));
}

#[tokio::test]
async fn a_name_that_nobody_knows_has_no_address() {
    let zone = Zone::default();
    let server = zone.serve().await;
    assert_eq!(look_up(&server, "nobody.test").await, Ok(Answer::default()));
    zone.set("empty.test", &[]);
    assert_eq!(look_up(&server, "empty.test").await, Ok(Answer::default()));
}

#[tokio::test]
async fn one_family_may_fail() {
    let zone = Zone::default();
    let server = zone.serve().await;
    let name = "greeter.test";
    for (fails, family, left) in [
        (RecordType::A, Family::V4, "::1"),
        (RecordType::AAAA, Family::V6, "10.0.0.1"),
    ] {
        zone.set(name, &[("10.0.0.1", 300), ("::1", 300)]);
        zone.put(name, fails, Err(ResponseCode::ServFail));
        let found = look_up(&server, name).await;
        assert_eq!(found, Ok(answer(&[left], 300, Some(family))));
        // Nothing is left that could be told.
        zone.set(name, &[]);
        zone.put(name, fails, Err(ResponseCode::ServFail));
        assert!(look_up(&server, name).await.is_err());
    }
    for of in [RecordType::A, RecordType::AAAA] {
        zone.put(name, of, Err(ResponseCode::Refused));
    }
    let error = look_up(&server, name).await.unwrap_err();
    assert_eq!(error, "DNS error: error response: Query Refused");
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn config(domain: Option<&str>, search: &[&str]) -> ResolverConfig {
    let search = search.iter().copied().map(name).collect();
    ResolverConfig::from_parts(domain.map(name), search, Vec::new())
}

// resolv.conf(5), "search" and "ndots".
#[test]
fn a_short_name_is_looked_for_in_the_search_list_first() {
    let list = config(Some("unused.test"), &["a.test", "b.test"]);
    let domain = config(Some("own.test"), &[]);
    for (text, config, ndots, expected) in [
        ("x", &list, 1, &["x.a.test.", "x.b.test.", "x."][..]),
        ("x.y", &list, 1, &["x.y.", "x.y.a.test.", "x.y.b.test."]),
        ("x.y", &list, 2, &["x.y.a.test.", "x.y.b.test.", "x.y."]),
        ("x.", &list, 1, &["x."]),
        ("x", &domain, 1, &["x.own.test.", "x."]),
        ("x", &config(None, &[]), 1, &["x."]),
    ] {
        let names = candidates(&name(text), config, ndots);
        let names: Vec<_> = names.iter().map(Name::to_ascii).collect();
        assert_eq!(names, expected, "{text}");
    }
}

#[tokio::test]
async fn the_search_ends_with_the_first_name_that_has_an_address_or_cannot_be_looked_up() {
    let zone = Zone::default();
    let server = zone.serve().await;
    let find = || {
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![only(server.address)]);
        let names = ["a.test.", "b.test.", "c.test."].map(name);
        soon(search(config, ResolverOpts::default(), names))
    };
    zone.set("b.test", &[("10.0.0.2", 300)]);
    zone.set("c.test", &[("10.0.0.3", 300)]);
    assert_eq!(find().await, Ok(answer(&["10.0.0.2"], 300, None)));
    assert!(zone.asked().iter().all(|(name, _)| name != "c.test"));
    for of in [RecordType::A, RecordType::AAAA] {
        zone.put("a.test", of, Err(ResponseCode::ServFail));
    }
    assert!(find().await.is_err());
    assert!(zone.asked().iter().all(|(name, _)| name == "a.test"));
}

#[test]
fn the_file_of_hosts_comes_first() {
    let mut hosts = Hosts::default();
    let mut put = |text: &str, of, ip: IpAddr| {
        let query = Query::query(name(text), of);
        let found = lookup::Lookup::from_rdata(query, RData::from(ip));
        hosts.insert(name(text), of, found);
    };
    put("four", RecordType::A, [10, 0, 0, 1].into());
    put("both", RecordType::AAAA, [0, 0, 0, 0, 0, 0, 0, 1].into());
    put("both", RecordType::A, [10, 0, 0, 2].into());
    let found = |text| {
        let answer = in_file(&hosts, &name(text))?;
        assert_eq!((answer.ttl, answer.failed), (None, None));
        Some(answer.addresses)
    };
    let ips = |ips: &[&str]| {
        Some(
            ips.iter()
                .map(|ip| ip.parse().unwrap())
                .collect::<Vec<IpAddr>>(),
        )
    };
    assert_eq!(found("four"), ips(&["10.0.0.1"]));
    assert_eq!(found("both."), ips(&["10.0.0.2", "::1"]));
    assert_eq!(found("none"), None);
}

#[tokio::test]
async fn localhost_needs_no_server() {
    // From the file, or as RFC 6761 has it.
    let found = soon(Hickory::new(None).lookup("localhost")).await;
    let addresses = found.unwrap().addresses;
    assert!(addresses.iter().any(IpAddr::is_loopback), "{addresses:?}");
}
