//! What the service promises, asked for over a real connection.

use tokio::net::TcpListener;
use tonic::Code;

use crate::proto::GreetRequest;
use crate::proto::greeter_client::GreeterClient;
use crate::serve;

#[tokio::test]
async fn greets_by_name_and_refuses_an_empty_one() {
    // Port 0: any free one. It is bound before the client connects, so nobody has to wait.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener));
    let mut greeter = GreeterClient::connect(url).await.unwrap();

    let name = "Ann".to_owned();
    let reply = greeter.greet(GreetRequest { name }).await.unwrap();
    assert_eq!(reply.into_inner().message, "Hello, Ann!");

    let name = String::new();
    let status = greeter.greet(GreetRequest { name }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}
