//! Whether what the clients start will be able to pay.

use farthing_ambient::causes;
use farthing_keystore::Keystore;

use crate::config::Config;
use crate::home::Home;
use crate::output::{Output, printable};
use crate::unattended::Opener;

/// Says what is missing.
pub(super) fn look(home: &Home, output: Output) {
    if let Some(missing) = missing(home) {
        output.warn(printable(&missing));
    }
}

fn missing(home: &Home) -> Option<String> {
    let folder = home.folder();
    if !folder.join(Keystore::FILE_NAME).exists() {
        return Some(format!("there is no wallet in {} yet: `farthing init` makes one", folder.display()));
    }
    let config = match Config::load(&home.config()) {
        Ok(config) => config,
        Err(failure) => return Some(failure.message),
    };
    let keystore = match Keystore::open(folder) {
        Ok(keystore) => keystore,
        Err(error) => return Some(causes(&error)),
    };
    let obstacle = Opener::of(config.unlock.as_ref(), &keystore).obstacle_for_clients()?;
    Some(format!("{obstacle}; {}", obstacle.hint))
}
