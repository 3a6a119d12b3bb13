//! The service by which other programs read the registry.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::pb;
use super::pb::channelz_server::Channelz;
use super::registry::{Registry, Table};

/// How many entries a page has, at most, and unless fewer are asked for.
pub const MAX_PAGE: usize = 100;

/// Answers what is in a registry. See [`Channelz::service`](super::Channelz::service).
#[derive(Clone, Debug)]
pub struct ChannelzService {
    pub(super) registry: Arc<Registry>,
}

#[tonic::async_trait]
impl Channelz for ChannelzService {
    async fn get_top_channels(
        &self,
        request: Request<pb::GetTopChannelsRequest>,
    ) -> Result<Response<pb::GetTopChannelsResponse>, Status> {
        let asked = request.into_inner();
        let limit = limit(asked.max_results)?;
        let (page, end) = self.registry.channels.page(asked.start_channel_id, limit);
        let channel = page.iter().map(|channel| channel.to_pb()).collect();
        Ok(Response::new(pb::GetTopChannelsResponse { channel, end }))
    }

    async fn get_servers(
        &self,
        request: Request<pb::GetServersRequest>,
    ) -> Result<Response<pb::GetServersResponse>, Status> {
        let asked = request.into_inner();
        let limit = limit(asked.max_results)?;
        let (page, end) = self.registry.servers.page(asked.start_server_id, limit);
        let server = page.iter().map(|server| server.to_pb()).collect();
        Ok(Response::new(pb::GetServersResponse { server, end }))
    }

    async fn get_server(
        &self,
        request: Request<pb::GetServerRequest>,
    ) -> Result<Response<pb::GetServerResponse>, Status> {
        let id = request.into_inner().server_id;
        let server = find(&self.registry.servers, "server", id)?;
        let server = Some(server.to_pb());
        Ok(Response::new(pb::GetServerResponse { server }))
    }

    async fn get_server_sockets(
        &self,
        request: Request<pb::GetServerSocketsRequest>,
    ) -> Result<Response<pb::GetServerSocketsResponse>, Status> {
        let asked = request.into_inner();
        let limit = limit(asked.max_results)?;
        let server = find(&self.registry.servers, "server", asked.server_id)?;
        let (page, end) = server.sockets.page(asked.start_socket_id, limit);
        let socket_ref = page.iter().map(|socket| socket.to_ref()).collect();
        Ok(Response::new(pb::GetServerSocketsResponse {
            socket_ref,
            end,
        }))
    }

    async fn get_channel(
        &self,
        request: Request<pb::GetChannelRequest>,
    ) -> Result<Response<pb::GetChannelResponse>, Status> {
        let id = request.into_inner().channel_id;
        let channel = find(&self.registry.channels, "channel", id)?;
        let channel = Some(channel.to_pb());
        Ok(Response::new(pb::GetChannelResponse { channel }))
    }

    async fn get_subchannel(
        &self,
        request: Request<pb::GetSubchannelRequest>,
    ) -> Result<Response<pb::GetSubchannelResponse>, Status> {
        let id = request.into_inner().subchannel_id;
        let subchannel = find(&self.registry.subchannels, "subchannel", id)?;
        let subchannel = Some(subchannel.to_pb());
        Ok(Response::new(pb::GetSubchannelResponse { subchannel }))
    }

    async fn get_socket(
        &self,
        request: Request<pb::GetSocketRequest>,
    ) -> Result<Response<pb::GetSocketResponse>, Status> {
        let asked = request.into_inner();
        let socket = find(&self.registry.sockets, "socket", asked.socket_id)?;
        let socket = Some(socket.to_pb(asked.summary));
        Ok(Response::new(pb::GetSocketResponse { socket }))
    }
}

/// How many entries the next page has.
fn limit(max_results: i64) -> Result<usize, Status> {
    if max_results < 0 {
        return Err(Status::invalid_argument("max_results is negative"));
    }
    match usize::try_from(max_results) {
        Ok(limit @ 1..) => Ok(limit.min(MAX_PAGE)),
        // Or more than fits.
        _ => Ok(MAX_PAGE),
    }
}

fn find<T>(table: &Table<T>, kind: &str, id: i64) -> Result<Arc<T>, Status> {
    let entry = table.get(id);
    entry.ok_or_else(|| Status::not_found(format!("there is no {kind} {id}")))
}
