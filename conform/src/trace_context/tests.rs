use std::collections::HashSet;
use std::sync::Mutex;

use super::*;
use crate::testing::{call, serve, unary};

const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Two servers, one trace: the second one's span has another name, in the same trace.
#[tokio::test]
async fn a_trace_goes_through_two_servers() {
    static SEEN: Mutex<Vec<TraceContext>> = Mutex::new(Vec::new());
    let back = unary(|request| async move {
        SEEN.lock().unwrap().push(TraceContext::of(&request));
        Ok(tonic::Response::new(request.into_inner()))
    });
    let back = serve(tower::layer::util::Identity::new(), back).await;
    let channel = back.channel();
    let front = unary(move |request| {
        let channel = channel.clone();
        async move {
            let trace = TraceContext::of(&request);
            SEEN.lock().unwrap().push(trace.clone());
            let onward =
                tower::service_fn(move |request| carry(request, trace.clone(), channel.clone()));
            call(onward, request.into_inner()).await
        }
    });
    let front = serve(tower::layer::util::Identity::new(), front).await;
    let channel = front.channel();
    let begun = TraceContext::parse(HEADER).unwrap();
    let calling = tower::service_fn(move |request| carry(request, begun.clone(), channel.clone()));
    call(calling, "hello").await.unwrap();

    let seen = SEEN.lock().unwrap();
    let [front, back] = &seen[..] else {
        panic!("{seen:?}")
    };
    for seen in [front, back] {
        assert_eq!(seen.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(seen.is_sampled());
    }
    let spans = HashSet::from([front.span_id(), back.span_id(), "00f067aa0ba902b7".into()]);
    assert_eq!(spans.len(), 3);
}

/// Calls `channel` with `request` in `trace`, as a stub does with a `tonic::Request`.
async fn carry(
    request: tonic::codegen::http::Request<tonic::body::Body>,
    trace: TraceContext,
    mut channel: tonic::transport::Channel,
) -> Result<tonic::codegen::http::Response<tonic::body::Body>, tonic::transport::Error> {
    use tonic::codegen::Service;
    let (mut head, body) = request.into_parts();
    let mut carrier = Request::from_parts(
        MetadataMap::from_headers(head.headers),
        Default::default(),
        (),
    );
    trace.pass_on(&mut carrier);
    head.headers = carrier.into_parts().0.into_headers();
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
    let request = tonic::codegen::http::Request::from_parts(head, body);
    channel.call(request).await
}

#[tokio::test]
async fn tonic_alone_passes_no_trace_on() {
    let service = unary(|request| async move {
        assert!(request.metadata().get("traceparent").is_none());
        Ok(tonic::Response::new(request.into_inner()))
    });
    let served = serve(tower::layer::util::Identity::new(), service).await;
    call(served.channel(), "hello").await.unwrap();
}

#[test]
fn a_header_is_read_as_section_3_2_has_it() {
    for header in [
        HEADER,
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "00-00000000000000000000000000000001-0000000000000001-01",
        "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-00",
    ] {
        assert_eq!(TraceContext::parse(header).unwrap().to_string(), header);
    }
    for (header, sampled) in [
        // Flags that this version doesn't know are not passed on.
        (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
            true,
        ),
        (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe",
            false,
        ),
        // Later versions.
        (
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            true,
        ),
        (
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            true,
        ),
        (
            "fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-",
            false,
        ),
    ] {
        let context = TraceContext::parse(header).unwrap();
        assert_eq!(context.is_sampled(), sampled, "{header}");
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id(), "00f067aa0ba902b7");
    }
    for header in [
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e47360-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01",
        " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert_eq!(TraceContext::parse(header), None, "{header}");
    }
}

#[test]
fn what_breaks_the_rules_begins_a_new_trace() {
    let good = TraceContext::parse(HEADER).unwrap();
    for headers in [&[][..], &["garbage"], &[HEADER, HEADER], &["", HEADER]] {
        let mut request = Request::new(());
        for header in headers {
            let header = header.parse().unwrap();
            request.metadata_mut().append("traceparent", header);
        }
        request
            .metadata_mut()
            .insert("tracestate", "a=b".parse().unwrap());
        let begun = TraceContext::of(&request);
        assert_ne!(begun.trace_id(), good.trace_id());
        assert!(!begun.is_sampled());
        // It belongs to the trace that isn't passed on.
        let mut onward = Request::new(());
        begun.pass_on(&mut onward);
        assert!(onward.metadata().get("tracestate").is_none());
    }
}

#[test]
fn the_state_of_others_is_passed_on_within_512_characters() {
    let long = "k=".to_owned() + &"v".repeat(510);
    for (states, expected) in [
        (vec![], None),
        (vec![""], None),
        (vec!["rojo=00f067aa0ba902b7"], Some("rojo=00f067aa0ba902b7")),
        (vec!["a=1,b=2", "c=3"], Some("a=1,b=2,c=3")),
        (vec![&*long], Some(&*long)),
        (vec![&long[..509], "c=3"], None),
        (
            vec![&long[..508], "c=3"],
            Some(&*format!("{},c=3", &long[..508])),
        ),
        (vec![&*long, "c"], None),
    ] {
        let mut request = Request::new(());
        let metadata = request.metadata_mut();
        metadata.insert("traceparent", HEADER.parse().unwrap());
        for state in &states {
            metadata.append("tracestate", state.parse().unwrap());
        }
        let mut onward = Request::new(());
        // Replaced, not added to.
        onward
            .metadata_mut()
            .insert("tracestate", "x=y".parse().unwrap());
        onward
            .metadata_mut()
            .insert("traceparent", "x".parse().unwrap());
        TraceContext::of(&request).pass_on(&mut onward);
        let states: Vec<_> = onward.metadata().get_all("tracestate").iter().collect();
        let states: Vec<_> = states.iter().map(|state| state.to_str().unwrap()).collect();
        assert_eq!(states, expected.into_iter().collect::<Vec<_>>());
        let parents = onward.metadata().get_all("traceparent");
        assert_eq!(parents.iter().count(), 1);
    }
}

#[test]
fn each_trace_and_each_span_has_a_name_of_its_own() {
    let mut names = HashSet::new();
    for context in std::iter::repeat_with(TraceContext::default).take(1000) {
        assert!(!context.is_sampled());
        let halves = context.trace_id();
        let (left, right) = halves.split_at(16);
        names.extend([left.to_owned(), right.to_owned(), context.span_id()]);
        let sampled = context.clone().sampled(true);
        assert_eq!(
            sampled.to_string(),
            context.to_string()[..53].to_owned() + "01"
        );
        assert_eq!(TraceContext::parse(&sampled.to_string()), Some(sampled));
    }
    assert_eq!(names.len(), 3000);
    assert!(names.iter().all(|name| name.len() == 16));
}
