//! The handlers. No error leaves them that hasn't been through `into_status`.

use tonic::{Request, Response, Status};

use crate::error::SignupError;
use crate::log::Log;
use crate::proto::mail::Address;
use crate::proto::mail::mail_client::MailClient;
use crate::proto::signup::signup_server::Signup;
use crate::proto::signup::{Form, Member};
use crate::{Connection, form, store};

/// The club's office. Clones share everything.
#[derive(Clone, Debug)]
pub struct Office {
    /// The mail server.
    pub mail: MailClient<Connection>,
    /// Where the causes of errors are written.
    pub log: Log,
}

impl Office {
    /// Enters a form whose fields are right. Each `?` turns an error into a `SignupError`.
    async fn enter(&self, form: Form) -> Result<Member, SignupError> {
        let email = form.email.clone();
        self.mail.clone().check(Address { email }).await?;
        let card = store::insert(&form)?;
        self.log.write(format!("{} has joined: {card}", form.name));
        Ok(Member { card })
    }
}

#[tonic::async_trait]
impl Signup for Office {
    async fn register(&self, request: Request<Form>) -> Result<Response<Member>, Status> {
        let form = request.into_inner();
        let entered = match form::check(&form) {
            Ok(()) => self.enter(form).await,
            Err(error) => Err(error),
        };
        let member = entered.map_err(|error| error.into_status(&self.log))?;
        Ok(Response::new(member))
    }
}
