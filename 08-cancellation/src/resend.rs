//! A client's half of a safe transfer: exercise 2.

use tonic::{Status, transport::Channel};

use crate::proto::{Order, Receipt, bank_client::BankClient};

/// Sends `order`, and sends it again while its outcome is in doubt: five times at most.
pub async fn transfer_until_certain(
    bank: &mut BankClient<Channel>,
    order: Order,
) -> Result<Receipt, Status> {
    Ok(bank.transfer(order).await?.into_inner())
}
