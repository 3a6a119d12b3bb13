//! Former names, for lessons 07 to 09 until they use `conform` themselves.

#![allow(missing_docs)]

pub mod client_layer {
    pub use conform::deadline::ClientDeadline as ClientDeadlines;

    #[derive(Clone, Copy, Debug)]
    pub struct ClientDeadlineLayer;

    impl<S> tower::Layer<S> for ClientDeadlineLayer {
        type Service = ClientDeadlines<S>;

        fn layer(&self, inner: S) -> Self::Service {
            conform::deadline::ClientDeadlineLayer::new().layer(inner)
        }
    }
}

pub mod server_layer {
    pub use conform::deadline::ServerDeadlineLayer;
}
