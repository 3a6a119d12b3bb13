//! What the greeter and the calculator answer, and the two exercises.

use tonic::Code;
use tonic::transport::Channel;

use super::*;
use crate::calculator::calculator_client::CalculatorClient;
use crate::calculator::{Integer, Operands};
use crate::helloworld::greeter_client::GreeterClient;

mod garbage;
mod on_the_wire;

/// Serves on a free port and returns its URL. Bound is enough: connections wait until they are served.
async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener));
    url
}

async fn channel() -> Channel {
    Channel::from_shared(start().await)
        .unwrap()
        .connect()
        .await
        .unwrap()
}

async fn square_root(value: f64) -> Result<f64, Status> {
    let mut calculator = CalculatorClient::new(channel().await);
    Ok(calculator
        .square_root(Number { value })
        .await?
        .into_inner()
        .value)
}

async fn divide(left: f64, right: f64) -> Result<f64, Status> {
    let mut calculator = CalculatorClient::new(channel().await);
    Ok(calculator
        .divide(Operands { left, right })
        .await?
        .into_inner()
        .value)
}

#[tokio::test]
async fn greets_by_name_and_again() {
    let mut greeter = GreeterClient::new(channel().await);
    let ann = HelloRequest {
        name: "Ann".to_owned(),
    };
    let hello = greeter.say_hello(ann.clone()).await.unwrap().into_inner();
    let again = greeter.say_hello_again(ann).await.unwrap().into_inner();
    assert_eq!(hello.message, "Hello, Ann!");
    assert_eq!(again.message, "Hello again, Ann!");
}

#[tokio::test]
async fn takes_square_roots() {
    assert_eq!(square_root(16.0).await.unwrap(), 4.0);
    assert_eq!(square_root(0.0).await.unwrap(), 0.0);
    assert_eq!(square_root(2.0).await.unwrap(), 2.0_f64.sqrt());
    assert_eq!(square_root(f64::INFINITY).await.unwrap(), f64::INFINITY);
}

#[tokio::test]
async fn refuses_what_has_no_square_root_and_names_it() {
    for (value, named) in [(-4.0, "of -4"), (-0.5, "of -0.5"), (f64::NAN, "of NaN")] {
        let status = square_root(value).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().ends_with(named), "{}", status.message());
    }
}

#[tokio::test]
async fn methods_of_other_lessons_are_unimplemented() {
    let mut calculator = CalculatorClient::new(channel().await);
    let status = calculator
        .factorize(Integer { value: 12 })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
#[ignore = "exercise 1: divide"]
async fn exercise_1_divides() {
    assert_eq!(divide(7.0, 2.0).await.unwrap(), 3.5);
    assert_eq!(divide(0.0, 5.0).await.unwrap(), 0.0);
    for left in [1.0, -1.0, 0.0] {
        let status = divide(left, 0.0).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("zero"), "{}", status.message());
    }
}

#[tokio::test]
#[ignore = "exercise 2: greet a caller who gives no name"]
async fn exercise_2_greets_a_stranger() {
    let mut greeter = GreeterClient::new(channel().await);
    for name in ["", " ", "\t"] {
        let nobody = HelloRequest {
            name: name.to_owned(),
        };
        let hello = greeter
            .say_hello(nobody.clone())
            .await
            .unwrap()
            .into_inner();
        let again = greeter.say_hello_again(nobody).await.unwrap().into_inner();
        assert_eq!(hello.message, "Hello, stranger!");
        assert_eq!(again.message, "Hello again, stranger!");
    }
    let ann = HelloRequest {
        name: "Ann".to_owned(),
    };
    assert_eq!(
        greeter.say_hello(ann).await.unwrap().into_inner().message,
        "Hello, Ann!"
    );
}
