//! Which addresses a program may be led to by somebody else's words.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Which addresses may be called. Who is told where to call by an agent, a page or a document must not become that
/// one's way into the machine it runs on, or into the network around it.
///
/// A name is judged twice: by [`check`](Self::check) before anything is done, and by [`resolver`](Self::resolver) when
/// its addresses are known, which are the ones that are then connected to. So a name whose answer changes between two
/// questions gains nothing. Where a proxy resolves names, only the first is possible: a client with bounds goes
/// through no proxy.
///
/// ```
/// use farthing_http::Reach;
///
/// let reach = Reach::public().and_hosts(["localhost:8080".to_owned()]);
/// assert!(reach.check(&"https://api.example.com/".parse()?).is_ok());
/// assert!(reach.check(&"http://localhost:8080/".parse()?).is_ok());
/// assert!(reach.check(&"http://localhost:22/".parse()?).is_err());
/// assert!(reach.check(&"http://169.254.169.254/latest/meta-data".parse()?).is_err());
/// # Ok::<(), url::ParseError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Reach(Option<Arc<[ExtraHost]>>);

/// A host that may be called wherever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ExtraHost {
    name: String,
    /// None: at every port.
    port: Option<u16>,
}

/// An address that may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} is {what}, which may not be called from here; `private_hosts` in config.yaml can allow it")]
pub struct OutOfReach {
    /// The host, with its port where the address names one.
    pub host: String,
    /// What it is.
    pub what: &'static str,
}

impl OutOfReach {
    /// The one among the causes of a client's error: [`Reach::resolver`] refused the name.
    #[must_use]
    pub fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |&error| error.source()).find_map(|cause| cause.downcast_ref())
    }
}

impl Reach {
    /// Everything: for addresses that a person has typed.
    #[must_use]
    pub fn anywhere() -> Self {
        Self(None)
    }

    /// The public internet: nothing private, local, reserved or shared.
    #[must_use]
    pub fn public() -> Self {
        Self(Some(Arc::default()))
    }

    /// These as well, wherever they are: `printer.lan` at every port, `localhost:8080` at this one. Without bounds
    /// there is nothing to add to.
    #[must_use]
    pub fn and_hosts(self, hosts: impl IntoIterator<Item = String>) -> Self {
        let add = |known: Arc<[ExtraHost]>| {
            known.iter().cloned().chain(hosts.into_iter().map(|host| ExtraHost::read(&host))).collect()
        };
        Self(self.0.map(add))
    }

    /// Whether there are bounds.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.0.is_some()
    }

    /// Refuses what the address itself tells: literals, names of this machine, and ports of hosts that are allowed at
    /// others only.
    ///
    /// # Errors
    /// [`OutOfReach`]
    pub fn check(&self, url: &Url) -> Result<(), OutOfReach> {
        let (Some(extra), Some(host)) = (&self.0, url.host()) else { return Ok(()) };
        let name = plain(&host.to_string());
        let port = url.port_or_known_default();
        let listed = || extra.iter().filter(|extra| extra.name == name);
        if listed().any(|extra| extra.port.is_none() || extra.port == port) {
            return Ok(());
        }
        let what = match host {
            _ if listed().next().is_some() => Some("allowed at another port only"),
            Host::Ipv4(ip) => what_is(IpAddr::V4(ip)),
            Host::Ipv6(ip) => what_is(IpAddr::V6(ip)),
            Host::Domain(_) => is_local_name(&name).then_some("this machine"),
        };
        let shown = || url.port().map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
        what.map_or(Ok(()), |what| Err(OutOfReach { host: shown(), what }))
    }

    /// Refuses a name that leads only to where nothing is called. It tells afterwards why no answer came, through a client
    /// that hides what [`resolver`](Self::resolver) has said; it is no bound by itself. A name that leads nowhere passes.
    ///
    /// # Errors
    /// [`OutOfReach`]
    pub async fn look_up(&self, url: &Url) -> Result<(), OutOfReach> {
        let Some(name) = url.host_str().filter(|_| self.is_bounded()) else { return Ok(()) };
        let name = plain(name);
        match tokio::net::lookup_host((name.as_str(), 0)).await {
            Ok(addresses) => self.within(&name, addresses.collect()).map(drop),
            Err(_) => Ok(()),
        }
    }

    /// Resolves names, and gives only addresses that may be called.
    #[must_use]
    pub fn resolver(&self) -> Arc<dyn Resolve> {
        Arc::new(Resolver(self.clone()))
    }

    /// The settings of a client that keeps these bounds for names; [`check`](Self::check) does for the rest.
    pub fn bound(&self, client: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
        match self.0 {
            Some(_) => client.no_proxy().dns_resolver(self.resolver()),
            None => client,
        }
    }

    /// Those of a name's addresses that may be called.
    fn within(&self, name: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, OutOfReach> {
        let Some(extra) = &self.0 else { return Ok(addresses) };
        let name = plain(name);
        if extra.iter().any(|extra| extra.name == name) {
            return Ok(addresses);
        }
        let refused = addresses.iter().find_map(|address| what_is(address.ip()));
        let public: Vec<_> =
            addresses.into_iter().filter(|address| what_is(address.ip()).is_none()).collect();
        match refused {
            Some(what) if public.is_empty() => Err(OutOfReach { host: name, what }),
            _ => Ok(public),
        }
    }
}

/// The system's resolver, within bounds.
struct Resolver(Reach);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            // The port is the client's to fill in.
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let addresses = reach.within(name.as_str(), addresses)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl ExtraHost {
    fn read(text: &str) -> Self {
        // An IPv6 address without brackets has colons of its own.
        let split = text.rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
        match split.map(|(name, port)| (name, port.parse())) {
            Some((name, Ok(port))) => Self { name: plain(name), port: Some(port) },
            _ => Self { name: plain(text), port: None },
        }
    }
}

/// A host without brackets and the root's point, in lower case.
fn plain(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches([']', '.']).to_ascii_lowercase()
}

/// RFC 6761: whatever a resolver would say.
fn is_local_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// What an address is that is not on the public internet. IANA's registries of special addresses; an address that
/// carries an IPv4 address inside is judged as that one.
fn what_is(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => what_is_v4(ip),
        IpAddr::V6(ip) => match carried(ip) {
            Some(ip) => what_is_v4(ip),
            None => what_is_v6(ip),
        },
    }
}

fn what_is_v4(ip: Ipv4Addr) -> Option<&'static str> {
    match ip.octets() {
        [127, ..] | [0, ..] => Some("this machine"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("a private address"),
        [169, 254, ..] => Some("a link-local address"),
        [100, 64..=127, ..] => Some("a shared address"),
        [224..=255, ..] => Some("a multicast or reserved address"),
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Some("a reserved address")
        }
        _ => None,
    }
}

fn what_is_v6(ip: Ipv6Addr) -> Option<&'static str> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Some("this machine"),
        [0xfc00..=0xfdff, ..] => Some("a private address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        // All that is public today is within 2000::/3; in it, protocols' own addresses, documentation and 6bone.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x3ffe | 0x3fff, ..] => Some("a reserved address"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("a reserved address"),
    }
}

/// The IPv4 address inside of a mapped, compatible, translated (NAT64) or tunnelled (6to4) one.
fn carried(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let (high, low) = match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0] if g != 0 => (g, h),
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => (g, h),
        [0x2002, ..] => (b, c),
        _ => return None,
    };
    Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reach: &Reach, url: &str) -> bool {
        reach.check(&url.parse().unwrap()).is_err()
    }

    #[test]
    fn nothing_but_the_public_internet() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0/",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://a.localhost/",
            "http://10.1.2.3/",
            "http://172.31.0.1/",
            "http://192.168.1.1/",
            "http://169.254.169.254/",
            "http://100.64.0.1/",
            "http://198.18.0.1/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://[::]/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::10.0.0.1]/",
            "http://[64:ff9b:1::1]/",
            "http://[2002:7f00:1::]/",
            "http://[2001::1]/",
            "http://[2001:db8::1]/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
            "http://[fec0::1]/",
            "http://[ff02::1]/",
        ] {
            assert!(refused(&Reach::public(), url), "{url}");
            assert!(!refused(&Reach::anywhere(), url), "{url}");
        }
        for url in [
            "https://api.example.com/",
            "https://localhost.example.com/",
            "http://8.8.8.8/",
            "http://172.32.0.1/",
            "http://[2606:4700::1111]/",
            "http://[::ffff:8.8.8.8]/",
            "http://[64:ff9b::8.8.8.8]/",
        ] {
            assert!(!refused(&Reach::public(), url), "{url}");
        }
    }

    #[test]
    fn what_is_listed_is_reached_at_its_port_only() {
        let hosts = ["localhost:8080", "10.0.0.5", "[::1]:9000", "fd00::1", "Printer.LAN:631"];
        let reach = Reach::public().and_hosts(hosts.map(str::to_owned));
        for (url, is_refused) in [
            ("http://localhost:8080/", false),
            ("http://localhost/", true),
            ("http://127.0.0.1:8080/", true),
            ("http://10.0.0.5/", false),
            ("http://10.0.0.5:1234/", false),
            ("http://10.0.0.6/", true),
            ("http://[::1]:9000/", false),
            ("http://[::1]:9001/", true),
            ("http://[fd00::1]/", false),
            ("http://printer.lan:631/", false),
            ("http://printer.lan/", true),
        ] {
            assert_eq!(refused(&reach, url), is_refused, "{url}");
        }
    }

    #[test]
    fn of_a_names_addresses_only_the_public_ones_are_connected_to() {
        let reach = Reach::public().and_hosts(["printer.lan:631".to_owned()]);
        let [public, private] = ["8.8.8.8:0", "10.0.0.1:0"].map(|address| address.parse().unwrap());
        assert_eq!(reach.within("a.example", vec![private, public]).unwrap(), [public]);
        let error = reach.within("a.example", vec![private]).unwrap_err().to_string();
        assert!(error.contains("a.example is a private address"), "{error}");
        assert_eq!(reach.within("printer.lan", vec![private]).unwrap(), [private]);
        assert_eq!(Reach::anywhere().within("a.example", vec![private]).unwrap(), [private]);
    }

    /// The machine's own host name resolves to itself, under whatever name: `localhost` stands for such a name here.
    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = Reach::public().bound(crate::caller().unwrap()).build().unwrap();
        let asked = client.get(format!("http://localhost:{port}/")).send();
        let error = tokio::select! {
            answer = asked => answer.unwrap_err(),
            _ = listener.accept() => panic!("connected"),
        };
        let out_of_reach = OutOfReach::behind(&error).unwrap();
        assert_eq!((out_of_reach.host.as_str(), out_of_reach.what), ("localhost", "this machine"));
    }
}
