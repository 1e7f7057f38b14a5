//! Executes one command on a connection.

use std::sync::Arc;
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::command::{Exit, Prepared, RemoteCommand, RemoteOutput};
use super::connection::Connection;
use super::error::SshError;
use crate::provider::printable;

/// The code of standard error among a channel's streams.
const STANDARD_ERROR: u32 = 1;

/// Why a command did not complete.
#[derive(Debug)]
pub(super) enum ExecuteError {
    /// The connection was dead before the host received the command.
    NotSent(SshError),
    /// The host may have started the command.
    Other(SshError),
}

/// Executes a command on a connection.
pub(super) async fn execute(
    connection: &Arc<Connection>,
    hostname: &str,
    command: &RemoteCommand,
    prepared: Prepared,
    open_within: Duration,
) -> Result<RemoteOutput, ExecuteError> {
    let (channel, permit) = open(connection, hostname, command, open_within).await?;
    let (reader, writer) = channel.split();
    let mut running = TerminateOnDrop { writer: Some(writer), permit: Some(permit) };
    let limit = command.time_limit();
    let run = RunningCommand { connection, hostname, command };
    let ran = tokio::time::timeout(limit, run.follow(reader, running.writer.as_ref(), prepared));
    let outcome = ran.await.unwrap_or_else(|_| {
        let (hostname, activity) = (hostname.to_owned(), command.label().to_owned());
        Err(SshError::TimedOut { hostname, activity, within: limit })
    });
    connection.touch();
    match outcome {
        Ok(output) => {
            running.is_over();
            Ok(output)
        }
        Err(error) => Err(ExecuteError::Other(error)),
    }
}

/// Opens a channel for a command, as soon as the host's limit allows.
async fn open(
    connection: &Arc<Connection>,
    hostname: &str,
    command: &RemoteCommand,
    within: Duration,
) -> Result<(Channel<Msg>, OwnedSemaphorePermit), ExecuteError> {
    loop {
        let dead = |reason: String| ExecuteError::NotSent(SshError::lost(hostname, reason));
        let Some(permit) = connection.session().await else {
            return Err(dead(connection.ending()));
        };
        connection.touch();
        let (sender, receiver) = oneshot::channel();
        // In a separate task, so that a channel is closed again if the caller is cancelled while it
        // is being opened.
        let opener = Arc::clone(connection);
        tokio::spawn(async move {
            let opened = opener.handle().channel_open_session().await;
            if let Err((Ok(channel), _)) = sender.send((opened, permit)) {
                let _ = channel.close().await;
            }
        });
        let (opened, permit) = match tokio::time::timeout(within, receiver).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => return Err(dead(connection.ending())),
            Err(_) => {
                connection.mark_dead();
                let seconds = within.as_secs_f32();
                return Err(dead(format!("it did not answer within {seconds} s")));
            }
        };
        match opened {
            Ok(channel) => return Ok((channel, permit)),
            Err(russh::Error::ChannelOpenFailure(reason)) => {
                // The host allows fewer sessions than configured; wait for one to end.
                if connection.lower_session_limit(permit).is_some() {
                    return Err(ExecuteError::Other(SshError::NotRun {
                        hostname: hostname.to_owned(),
                        activity: command.label().to_owned(),
                        reason: format!("it opens no session: {reason:?}"),
                    }));
                }
            }
            Err(_) => return Err(dead(connection.ending())),
        }
    }
}

/// A command that the host is running.
struct RunningCommand<'a> {
    connection: &'a Connection,
    hostname: &'a str,
    command: &'a RemoteCommand,
}

impl RunningCommand<'_> {
    /// Starts the command, sends its input and collects its output, until its channel closes.
    async fn follow(
        &self,
        mut reader: ChannelReadHalf,
        writer: Option<&ChannelWriteHalf<Msg>>,
        prepared: Prepared,
    ) -> Result<RemoteOutput, SshError> {
        let Some(writer) = writer else { return Err(self.lost()) };
        writer.exec(true, prepared.line).await.map_err(|_| self.lost())?;
        // A command may end without reading all of its input, so the end of sending is not awaited.
        let sending = async {
            if writer.data_bytes(prepared.stdin).await.is_ok() {
                let _ = writer.eof().await;
            }
        };
        tokio::pin!(sending);
        let mut sent = false;
        let mut gathered = CollectedOutput::default();
        loop {
            let message = tokio::select! {
                message = reader.wait() => message,
                () = &mut sending, if !sent => {
                    sent = true;
                    continue;
                }
            };
            match message {
                None => break,
                Some(ChannelMsg::Close) => break,
                Some(message) => self.take(message, &mut gathered)?,
            }
        }
        let CollectedOutput { stdout, stderr, exit } = gathered;
        // Without an exit status it is unknown whether the command completed.
        exit.map(|exit| RemoteOutput { stdout, stderr, exit }).ok_or_else(|| self.lost())
    }

    fn take(&self, message: ChannelMsg, gathered: &mut CollectedOutput) -> Result<(), SshError> {
        match message {
            ChannelMsg::Data { data } => gathered.stdout.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, ext: STANDARD_ERROR } => {
                gathered.stderr.extend_from_slice(&data);
            }
            ChannelMsg::ExitStatus { exit_status } => gathered.exit = Some(Exit::Code(exit_status)),
            ChannelMsg::ExitSignal { signal_name, .. } => {
                gathered.exit = Some(Exit::Signal(name_of(signal_name)));
            }
            ChannelMsg::Failure => {
                return Err(SshError::NotRun {
                    hostname: self.hostname.to_owned(),
                    activity: self.command.label().to_owned(),
                    reason: "it refuses to run commands".to_owned(),
                });
            }
            _ => {}
        }
        let limit = self.command.byte_limit();
        if gathered.stdout.len() + gathered.stderr.len() > limit {
            return Err(SshError::TooMuchOutput {
                hostname: self.hostname.to_owned(),
                activity: self.command.label().to_owned(),
                limit,
            });
        }
        Ok(())
    }

    fn lost(&self) -> SshError {
        let reason = match self.connection.is_open() {
            true => "the command ended without an exit status".to_owned(),
            false => self.connection.ending(),
        };
        SshError::lost(self.hostname, reason)
    }
}

/// The output and exit so far.
#[derive(Default)]
struct CollectedOutput {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    exit: Option<Exit>,
}

fn name_of(signal: Sig) -> String {
    match signal {
        Sig::Custom(name) => printable::line(&name),
        other => format!("{other:?}"),
    }
}

/// Ends the command on the host when the caller is cancelled.
struct TerminateOnDrop {
    writer: Option<ChannelWriteHalf<Msg>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl TerminateOnDrop {
    /// The command ended by itself.
    fn is_over(&mut self) {
        self.writer = None;
    }
}

impl Drop for TerminateOnDrop {
    fn drop(&mut self) {
        let (Some(writer), Some(permit)) = (self.writer.take(), self.permit.take()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // sshd forwards the signal to the command's process group. If a host does not, closing
            // the channel at least closes the command's input and output.
            let _ = writer.signal(Sig::TERM).await;
            let _ = writer.close().await;
            drop(permit);
        });
    }
}
