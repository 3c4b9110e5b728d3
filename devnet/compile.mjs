// Compiles contracts/*.sol with the pinned solc, for build.rs: `node compile.mjs OUT_DIR`.
//
// Writes, per contract, <Name>.abi.json, <Name>.creation.bin and <Name>.runtime.bin, and `anvil.path` with the native
// anvil of this machine. Exits with 3 when node_modules doesn't hold what package.json pins: then `npm ci` is due.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PACKAGES_MISSING = 3
const here = dirname(fileURLToPath(import.meta.url))
const outDir = process.argv[2]
const pinned = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8')).dependencies

/** The version of an installed package, or undefined. */
function installed(name) {
  const path = join(here, 'node_modules', name, 'package.json')
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).version : undefined
}

/** The native binary: anvil's package is only a launcher around one package per platform. */
function anvilBinary() {
  const arch = { x64: 'amd64', arm64: 'arm64' }[process.arch]
  const name = `@foundry-rs/anvil-${process.platform}-${arch}`
  if (installed(name) !== pinned['@foundry-rs/anvil']) missing(name)
  return join(here, 'node_modules', name, 'bin', 'anvil')
}

function missing(name) {
  console.error(`${name} is not installed in ${join(here, 'node_modules')} in the pinned version`)
  process.exit(PACKAGES_MISSING)
}

function compile() {
  const names = readdirSync(join(here, 'contracts')).filter((name) => name.endsWith('.sol')).sort()
  const input = {
    language: 'Solidity',
    sources: Object.fromEntries(
      names.map((name) => [name, { content: readFileSync(join(here, 'contracts', name), 'utf8') }])
    ),
    settings: {
      evmVersion: 'cancun',
      optimizer: { enabled: true, runs: 10_000 },
      // Nothing of the source's text or place gets into the code: the same sources give the same bytes anywhere.
      metadata: { bytecodeHash: 'none', appendCBOR: false },
      outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object'] } }
    }
  }
  const solc = createRequire(import.meta.url)('solc')
  const output = JSON.parse(solc.compile(JSON.stringify(input)))
  const complaints = output.errors ?? []
  for (const complaint of complaints) console.error(complaint.formattedMessage)
  if (complaints.length > 0) process.exit(1)
  return Object.values(output.contracts).flatMap((file) => Object.entries(file))
}

for (const [name, version] of Object.entries(pinned)) {
  if (installed(name) !== version) missing(name)
}
writeFileSync(join(outDir, 'anvil.path'), anvilBinary())
for (const [name, { abi, evm }] of compile()) {
  writeFileSync(join(outDir, `${name}.abi.json`), JSON.stringify(abi))
  writeFileSync(join(outDir, `${name}.creation.bin`), Buffer.from(evm.bytecode.object, 'hex'))
  writeFileSync(join(outDir, `${name}.runtime.bin`), Buffer.from(evm.deployedBytecode.object, 'hex'))
}
