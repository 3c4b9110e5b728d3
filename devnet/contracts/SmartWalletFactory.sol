// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SmartWallet} from "./SmartWallet.sol";

/// Makes smart wallets at addresses known beforehand (CREATE2), for ERC-6492: a payer whose wallet isn't deployed yet.
contract SmartWalletFactory {
    event Deployed(address indexed wallet, address indexed owner);

    /// Deploys the owner's wallet, or gives the one that is there.
    function deploy(address owner, bytes32 salt) external returns (address wallet) {
        wallet = addressOf(owner, salt);
        if (wallet.code.length == 0) {
            new SmartWallet{salt: salt}(owner);
            emit Deployed(wallet, owner);
        }
    }

    function addressOf(address owner, bytes32 salt) public view returns (address) {
        bytes32 initCodeHash = keccak256(abi.encodePacked(type(SmartWallet).creationCode, abi.encode(owner)));
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"ff", address(this), salt, initCodeHash)))));
    }
}
