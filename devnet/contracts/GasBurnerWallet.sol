// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "./Signatures.sol";

/// A hostile payer: its signature check costs whoever asks as much gas as they brought.
///
/// With a signature that starts with 0x01 it burns nearly everything and then approves, so that a simulation passes
/// and the settlement is dear; with any other signature it burns everything and fails.
contract GasBurnerWallet is IERC1271 {
    /// Enough to return after burning, and no more.
    uint256 private constant GAS_KEPT = 20_000;

    function isValidSignature(bytes32, bytes memory signature) external view returns (bytes4) {
        if (signature.length == 0 || signature[0] != 0x01) {
            assembly ("memory-safe") {
                invalid()
            }
        }
        bytes32 waste;
        while (gasleft() > GAS_KEPT) {
            waste = keccak256(abi.encode(waste));
        }
        return IERC1271.isValidSignature.selector;
    }
}
