// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// A hostile token: it answers every question as USDC would for a rich payer, accepts every authorization, and moves
/// nothing. A settlement that only looks at the transaction's status would take it for money.
contract FakeUsdc {
    function name() public view returns (string memory) {
        return block.chainid == 8453 ? "USD Coin" : "USDC";
    }

    function symbol() external pure returns (string memory) {
        return "USDC";
    }

    function version() external pure returns (string memory) {
        return "2";
    }

    function decimals() external pure returns (uint8) {
        return 6;
    }

    function balanceOf(address) external pure returns (uint256) {
        return 1e15;
    }

    function authorizationState(address, bytes32) external pure returns (bool) {
        return false;
    }

    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256(bytes(name())),
                keccak256("2"),
                block.chainid,
                address(this)
            )
        );
    }

    function transferWithAuthorization(
        address,
        address,
        uint256,
        uint256,
        uint256,
        bytes32,
        uint8,
        bytes32,
        bytes32
    ) external {}

    function transferWithAuthorization(address, address, uint256, uint256, uint256, bytes32, bytes memory) external {}

    function receiveWithAuthorization(
        address,
        address,
        uint256,
        uint256,
        uint256,
        bytes32,
        uint8,
        bytes32,
        bytes32
    ) external {}

    function receiveWithAuthorization(address, address, uint256, uint256, uint256, bytes32, bytes memory) external {}
}
