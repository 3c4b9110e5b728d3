//! `farthing address`.

use serde_json::json;

use crate::exit::Failure;
use crate::output::{DIM, Output};
use crate::session::Session;

pub(crate) fn run(session: &Session, output: Output) -> Result<(), Failure> {
    let addresses = session.addresses()?;
    if output.json {
        let rows: Vec<_> = addresses
            .iter()
            .map(|(network, address)| json!({"network": network, "address": address}))
            .collect();
        output.json(&json!({"addresses": rows}));
        return Ok(());
    }
    for (network, address) in &addresses {
        output.line(format!("{address}  {DIM}{}{DIM:#}", network.display_name()));
    }
    Ok(())
}
