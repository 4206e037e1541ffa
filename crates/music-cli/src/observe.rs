//! Telling of what goes on, until a signal.

use music_client::Error;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;

/// Tells of each event until a signal. Once something was heard, it goes on
/// where no node serves for a while; before, the address may be wrong.
pub(crate) async fn observe<T>(
    output: &Output,
    mut next: impl AsyncFnMut() -> Result<T, Error>,
    mut tell: impl FnMut(T) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let mut heard = false;
    loop {
        let event = tokio::select! {
            event = next() => event,
            signal = signals.next() => return Ok(Exit::signal(signal.as_raw())),
        };
        match event {
            Ok(event) => {
                heard = true;
                tell(event)?;
            }
            Err(error) if heard && error.is_retryable() => {
                output.warning(&format!("{error}: what happens meanwhile is told later"));
            }
            Err(error) => return Err(error.into()),
        }
    }
}
