//! What every service has, as tower-http's services have it.

/// `get_ref`, `get_mut` and `into_inner` for a service with the field `inner`.
#[allow(unused_macros, reason = "some features have no service")]
macro_rules! inner_service {
    ($Service:ident<$S:ident $(, $more:ident)*>) => {
        impl<$S $(, $more)*> $Service<$S $(, $more)*> {
            /// The service inside.
            pub fn get_ref(&self) -> &$S {
                &self.inner
            }

            /// The service inside, to be changed.
            pub fn get_mut(&mut self) -> &mut $S {
                &mut self.inner
            }

            /// Takes the service out.
            pub fn into_inner(self) -> $S {
                self.inner
            }
        }
    };
}
