//! The office's clerk: enters forms, and lets no error out that has not been through `into_status`.

use std::sync::Arc;

use futures::{TryStreamExt, stream};
use tonic::codegen::BoxStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::error::SignupError;
use crate::harmless::Harmless;
use crate::journal::Journal;
use crate::language::Language;
use crate::mail::Address;
use crate::mail::mail_client::MailClient;
use crate::panics::caught;
use crate::signup::signup_server::Signup;
use crate::signup::{Departure, Farewell, Form, Forms, Membership};
use crate::tries::Tries;
use crate::{form, store};

/// Who answers the calls. Clones share everything.
#[derive(Debug, Clone)]
pub struct Clerk {
    /// Who knows whether an address takes mail.
    pub mail: MailClient<Harmless<Channel>>,
    /// Who has guessed how often.
    pub tries: Arc<Tries>,
    /// Where the causes of errors are written.
    pub journal: Journal,
}

impl Clerk {
    /// Enters a form whose fields are right. Each `?` turns another kind of error into a `SignupError`.
    async fn enter(&self, form: Form) -> Result<Membership, SignupError> {
        self.tries.check(&form.email, &form.invitation)?;
        let email = form.email.clone();
        self.mail.clone().check(Address { email }).await?;
        let card = store::insert(&form)?;
        self.journal
            .note(format!("{} has joined: {card}", form.name));
        Ok(Membership { card })
    }
}

#[tonic::async_trait]
impl Signup for Clerk {
    async fn register(&self, request: Request<Form>) -> Result<Response<Membership>, Status> {
        let language = Language::of(request.metadata().as_ref());
        let form = request.into_inner();
        let entered = match form::check(&form) {
            Ok(()) => self.enter(form).await,
            Err(error) => Err(error),
        };
        entered
            .map(Response::new)
            .map_err(|error| error.into_status(language, &self.journal))
    }

    async fn register_all(
        &self,
        request: Request<Forms>,
    ) -> Result<Response<BoxStream<Membership>>, Status> {
        let language = Language::of(request.metadata().as_ref());
        let Forms { forms } = request.into_inner();
        form::check_all(&forms).map_err(|error| error.into_status(language, &self.journal))?;
        let members = stream::try_unfold(
            (self.clone(), forms.into_iter()),
            |(clerk, mut forms)| async {
                let Some(form) = forms.next() else {
                    return Ok(None);
                };
                let membership = clerk.enter(form).await?;
                Ok::<_, SignupError>(Some((membership, (clerk, forms))))
            },
        );
        let journal = self.journal.clone();
        let answers = caught(members).map_err(move |error| error.into_status(language, &journal));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn leave(&self, _: Request<Departure>) -> Result<Response<Farewell>, Status> {
        Err(Status::unimplemented("exercise 2"))
    }
}
