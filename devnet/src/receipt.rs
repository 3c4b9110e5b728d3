use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::SolEvent;
use serde::Deserialize;

/// What became of a transaction.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The transaction.
    pub transaction_hash: B256,
    /// The block that took it in.
    pub block_number: U64,
    /// 1 if it succeeded, 0 if it reverted; see [`Receipt::succeeded`].
    pub status: U64,
    /// The gas that it used.
    pub gas_used: U64,
    /// What one unit of gas cost, in wei.
    pub effective_gas_price: U256,
    /// Where a contract was put, if the transaction deployed one.
    pub contract_address: Option<Address>,
    /// What the contracts logged.
    pub logs: Vec<Log>,
}

/// One entry of a receipt's logs.
#[derive(Clone, Debug, Deserialize)]
pub struct Log {
    /// The contract that logged it.
    pub address: Address,
    /// The event's signature and indexed fields.
    pub topics: Vec<B256>,
    /// The event's other fields.
    pub data: Bytes,
}

// === impl Receipt ===

impl Receipt {
    /// Whether the transaction did what it was sent to do.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == U64::from(1)
    }

    /// The events of one kind that one contract logged, in order.
    #[must_use]
    pub fn events<E: SolEvent>(&self, address: Address) -> Vec<E> {
        let logs = self.logs.iter().filter(|log| log.address == address);
        logs.filter_map(|log| E::decode_raw_log(log.topics.iter().copied(), &log.data).ok()).collect()
    }
}
