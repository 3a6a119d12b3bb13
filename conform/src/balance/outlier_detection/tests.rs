use tonic::Status;

use super::watched::Watched;
use crate::balance::testing::FakeChannel;
use crate::balance::{Control, Policy, Subchannel, SubchannelState};
use crate::resolver::{Address, Backend};

/// Makes subchannels that nobody keeps.
#[derive(Default)]
struct Wasteful(Watched);

impl Policy for Wasteful {
    fn resolved(&mut self, backends: &[Backend], control: &mut dyn Control) -> Result<(), String> {
        let mut control = self.0.control(control, None);
        for backend in backends {
            for address in backend.addresses() {
                control.subchannel(backend, address);
            }
        }
        match self.0.known() {
            0..50 => Ok(()),
            many => Err(format!("{many} are kept")),
        }
    }

    fn failed(&mut self, _: &Status, _: &mut dyn Control) {}

    fn changed(&mut self, _: &Subchannel, _: &SubchannelState, _: &mut dyn Control) {}
}

#[test]
fn subchannels_that_are_gone_are_forgotten() {
    let mut channel = FakeChannel::new(Box::new(Wasteful::default()));
    let backend = Backend::new(Address::Tcp(([127, 0, 0, 1], 1).into()));
    assert_eq!(channel.resolved(&vec![backend; 1000]), Ok(()));
}
