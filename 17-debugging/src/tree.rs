//! Reads channelz, shows it as a tree, and finds the backend on which most calls failed.

use conform::channelz::pb;
use conform::channelz::pb::channelz_client::ChannelzClient;
use conform::status::escape;
use tonic::Status;
use tonic::transport::Channel;

/// What to read channelz with.
pub type Client = ChannelzClient<Channel>;

/// The tree, a line for each thing, and the three steps that lead to where most calls failed.
pub async fn read(client: &mut Client) -> Result<(Vec<String>, Vec<String>), Status> {
    let (mut tree, mut steps, mut most) = (Vec::new(), Vec::new(), 0);
    for server in servers(client).await? {
        let name = escape(&server.r#ref.unwrap_or_default().name);
        let data = server.data.unwrap_or_default();
        let (succeeded, failed) = (data.calls_succeeded, data.calls_failed);
        let calls = calls(data.calls_started, succeeded, failed);
        tree.push(format!("server {name}: {calls}"));
    }
    let first_page = pb::GetTopChannelsRequest::default();
    let channels = client.get_top_channels(first_page).await?.into_inner();
    for channel in channels.channel {
        let data = channel.data.unwrap_or_default();
        let (name, all, failed) = (&data.target, data.calls_started, data.calls_failed);
        tree.push(format!("channel {}", describe(name, &data)));
        let step_1 = format!("1. GetTopChannels: {failed} of {all} calls failed");

        for pb::SubchannelRef {
            subchannel_id,
            name,
        } in channel.subchannel_ref
        {
            let request = pb::GetSubchannelRequest { subchannel_id };
            let response = client.get_subchannel(request).await?.into_inner();
            let below = response.subchannel.unwrap_or_default();
            let data = below.data.unwrap_or_default();
            let (state, failed) = (data.state.unwrap_or_default().state(), data.calls_failed);
            tree.push(format!("  {}", describe(&name, &data)));
            let name = escape(&name);
            let step_2 = format!("2. GetSubchannel: {failed} of these went to {name}");
            let mut step_3 = format!(
                "3. It has no socket, and is {}: it's gone",
                state.as_str_name()
            );

            for pb::SocketRef { socket_id, .. } in below.socket_ref {
                let summary = true;
                let request = pb::GetSocketRequest { socket_id, summary };
                let response = client.get_socket(request).await?.into_inner();
                let socket = response.socket.unwrap_or_default().data.unwrap_or_default();
                let (sent, received) = (socket.messages_sent, socket.messages_received);
                let (streams, cut) = (socket.streams_started, socket.streams_failed);
                let messages = format!("{sent} messages sent, {received} received");
                tree.push(format!("    socket: {streams} streams, {messages}"));
                let verdict = if cut > 0 { "slow" } else { "refusing" };
                step_3 = format!("3. GetSocket: {messages}, {cut} streams cut off: it's {verdict}");
            }
            if failed > most {
                most = failed;
                steps = vec![step_1.clone(), step_2, step_3];
            }
        }
    }
    Ok((tree, steps))
}

/// All servers that there are.
pub async fn servers(client: &mut Client) -> Result<Vec<pb::Server>, Status> {
    // Exercise 2: this is the first page, and there may be more.
    let first_page = pb::GetServersRequest::default();
    let page = client.get_servers(first_page).await?.into_inner();
    Ok(page.server)
}

/// Servers that have open calls, and how many: exercise 3.
pub async fn busy(_client: &mut Client) -> Result<Vec<(String, i64)>, Status> {
    Err(Status::unimplemented("exercise 3"))
}

fn describe(name: &str, data: &pb::ChannelData) -> String {
    let (name, state) = (escape(name), data.state.unwrap_or_default().state());
    let (succeeded, failed) = (data.calls_succeeded, data.calls_failed);
    let calls = calls(data.calls_started, succeeded, failed);
    format!("{name}: {}, {calls}", state.as_str_name())
}

fn calls(started: i64, succeeded: i64, failed: i64) -> String {
    format!("{started} calls, {succeeded} succeeded, {failed} failed")
}
