//! Every code that can be found, with its severity, its meaning and what to do: the one list.

use crate::server::trouble::{Entry, Severity};

macro_rules! catalogue {
    ($($name:ident = $code:literal, $severity:ident, $meaning:literal, $hint:literal;)*) => {
        $(pub(super) static $name: Entry = Entry {
            code: $code,
            severity: Severity::$severity,
            meaning: $meaning,
            hint: $hint,
        };)*

        /// In the order of the documentation's table.
        pub static CATALOGUE: &[&Entry] = &[$(&$name),*];
    };
}

catalogue! {
    SETTINGS = "THN-CONF-01", Error,
        "the settings cannot be read, or are not valid",
        "correct what is named; `thon config validate` checks the settings without starting anything";

    STATE_FOREIGN = "THN-STATE-01", Error,
        "`state_dir` or `runtime_dir` belongs to another account, or is a symbolic link",
        "`chown` it to the account that runs the appliance, or name another directory in the settings";
    STATE_SHARED = "THN-STATE-02", Error,
        "`state_dir` or `runtime_dir` holds other things than THON's, and would be closed to everybody else",
        "name a directory of its own in the settings";
    STATE_READ_ONLY = "THN-STATE-03", Error,
        "`state_dir` or `runtime_dir` is on a read-only file system",
        "mount it writable, or name another directory in the settings; the service needs `ReadWritePaths=` in a drop-in for any but its own";
    STATE_FULL = "THN-STATE-04", Error,
        "there is no room for the records",
        "make room: `df -h` shows where there is none; nothing was changed";
    STATE_LOW = "THN-STATE-05", Warning,
        "there is little room left for the records",
        "make room before it is used up: `df -h`";
    STATE_FORBIDDEN = "THN-STATE-06", Error,
        "the account that runs the appliance may not write there",
        "`chown` it to that account, and let it pass through the directories above, or name another directory in the settings";
    STATE_OPEN = "THN-STATE-07", Warning,
        "others may look into `state_dir` or `runtime_dir`",
        "`chmod 700` it; the next start does so too";

    STORE_FAILED = "THN-STORE-01", Warning,
        "the records could not be read or written",
        "is the disk full? `df -h`. Nothing that was answered is lost, and once there is room it goes on by itself within seconds";
    STORE_UNREADABLE = "THN-STORE-02", Warning,
        "single records cannot be read, and are left as they are",
        "the message and the log name them: the version that wrote them can read them; whoever they belong to is kept out until then";
    STORE_DAMAGED = "THN-STORE-03", Error,
        "the records cannot be read",
        "put a copy of `state_dir` back, or move the file away to begin without records; it was not changed";
    STORE_NEWER = "THN-STORE-04", Error,
        "the records are those of a newer version",
        "start the version that wrote them, or a later one; nothing was changed";
    STORE_IN_USE = "THN-STORE-05", Error,
        "another process has the records open",
        "`fuser -v` on the file says which; stop it, or name another `state_dir`";

    CA_DAMAGED = "THN-CA-01", Error,
        "the certificate authority is incomplete or damaged",
        "put both files back from a copy of `state_dir`; nothing was changed, because every browser would have to trust a new one";
    CA_KEY_OPEN = "THN-CA-02", Error,
        "others may read the authority's key, with which one can pretend to be this appliance",
        "`chmod 600` it; if somebody may have copied it, stop the appliance, `thon ca rotate`, and let every browser trust the new authority";
    CERT_NAMES = "THN-CERT-01", Warning,
        "a name or address that visitors use is not in the certificate",
        "between two events: stop the appliance, `thon ca rotate`, start it, and let every browser trust the new authority; with files of your own, get a certificate for the domain";
    CERT_UNUSABLE = "THN-CERT-02", Error,
        "the certificate that the settings name cannot be used or read again, or a renewal failed",
        "do what the message says: see `ssl_certificate` and `ssl_certificate_key`. A running appliance goes on with the one from before";
    CERT_TIME = "THN-CERT-03", Error,
        "the authority, or the certificate that the settings name, is not valid at this time of the clock",
        "is the clock right? `timedatectl`; if it is, renew the certificate, or stop the appliance and `thon ca rotate`";
    CERT_ENDS = "THN-CERT-04", Warning,
        "the authority ends within 90 days, or the certificate that the settings name within 14",
        "renew the certificate; for the authority, `thon ca rotate` between two events";

    PORT_TAKEN = "THN-PORT-01", Error,
        "another program listens where the appliance would",
        "`ss -ltnp` says which program: stop it, or set the key to another place";
    PORT_FORBIDDEN = "THN-PORT-02", Error,
        "this account may not listen on a port below 1024",
        "start it as a service (`sudo thon install`), or as root, or set the key to a port above 1023";
    PORT_ABSENT = "THN-PORT-03", Error,
        "the address to listen on is not one of this host's",
        "set the key to an address of this host, or to 0.0.0.0";
    PORT_FAILED = "THN-PORT-04", Error,
        "the appliance cannot listen there",
        "set the key to another place";
    GATEWAY_PORT = "THN-GATEWAY-01", Warning,
        "the listener on the instances' bridge cannot be bound",
        "is the port of `gateway.listen` taken there? Tried every two seconds";

    SECOND = "THN-RUN-01", Error,
        "an appliance runs already with these settings",
        "see `thon status`; to start it anew, stop it first";
    MUTE = "THN-RUN-02", Error,
        "an appliance runs and does not answer",
        "its log says why (`journalctl -u thon`); start it anew";
    NOT_ASKED = "THN-RUN-03", Warning,
        "an appliance runs, and this account may not ask it",
        "use `sudo`, or the account that started it";

    RUNTIME_AWAY = "THN-RUNTIME-01", Error,
        "Docker does not answer, or answers with an error",
        "`systemctl status docker`; `thon up` installs it where it is missing. Editors that are known go on being served; it is tried every two seconds";
    RUNTIME_NETWORK = "THN-RUNTIME-02", Error,
        "the instances' network cannot be used: another's network or bridge has the name or the addresses, or it is less closed than ours",
        "do what the message says; instances stay `pending` until then";
    RUNTIME_UNKNOWN = "THN-RUNTIME-03", Warning,
        "containers with this appliance's label that no record knows",
        "they are left alone. Look at them, and remove them with `docker rm` if nobody needs them";
    RUNTIME_RANGE = "THN-RUNTIME-04", Warning,
        "instances have addresses outside of `sandbox.subnet`, which was changed under them",
        "`thon instances recreate` gives them one of the new range; files stay. Or set `sandbox.subnet` back";
    DOCKER_FORBIDDEN = "THN-DOCKER-01", Error,
        "the account that runs the appliance may not use Docker's socket",
        "add it to the group that owns the socket (`usermod -aG docker thon`), and start the appliance anew";
    DOCKER_OLD = "THN-DOCKER-02", Error,
        "Docker is older than API 1.41 (Docker 20.10)",
        "install a newer Docker";
    DOCKER_DRIVER = "THN-DOCKER-03", Warning,
        "Docker's storage driver copies whole images for each container, or is no longer kept up",
        "use `overlay2`: see `storage-driver` in /etc/docker/daemon.json";
    DOCKER_LOW = "THN-DOCKER-04", Warning,
        "there is little room left where Docker keeps images and participants' files",
        "make room: `docker system df` shows what takes it. Never remove volumes: participants' files are in them";
    DOCKER_FULL = "THN-DOCKER-05", Error,
        "there is no room where Docker keeps images and participants' files",
        "make room: `docker system df` shows what takes it. Never remove volumes: participants' files are in them";
    DOCKER_LACKS = "THN-DOCKER-06", Error,
        "the kernel or Docker lacks what keeps editors apart or within their limits",
        "switch on what is named; `docker info` ends with what it misses";
    IMAGE_MISSING = "THN-IMAGE-01", Error,
        "the editors' image is not on this host",
        "`thon up` builds THON's own; any other has to be brought with `docker load` or built";
    NETWORK_COLLIDES = "THN-NET-01", Error,
        "the host reaches other machines by addresses of `sandbox.subnet`",
        "set `sandbox.subnet` to a range that nobody else here uses";

    CLOCK_JUMPED = "THN-CLOCK-01", Warning,
        "the clock was set, and sessions that would end by it are held back",
        "is it right? `timedatectl`. An hour after the clock was last set, what has ended by it ends";
    CLOCK_PAST = "THN-CLOCK-02", Error,
        "the clock shows a time before this program was made",
        "set it: `timedatectl set-ntp true`, or `date --set`; browsers refuse certificates that are made now";
    CLOCK_BACK = "THN-CLOCK-03", Warning,
        "the clock shows a time before the newest record or certificate",
        "is it right? `timedatectl`; sessions last longer until it is";

    LIMITS_AWAY = "THN-LIMITS-01", Warning,
        "Redis, which keeps the balances of several appliances, cannot be reached",
        "is it running, and are `gateway.redis_host`, port and password right? Requests are refused meanwhile, or limited by this appliance alone, as `gateway.redis_away` says";
    MODEL_AWAY = "THN-MODEL-01", Warning,
        "a server of the language model cannot be reached, refuses the appliance's key, or is loading",
        "`thon gateway` says which and why; is it running, and is its address in `gateway.backends` or `lemonade` right? Tried every second";

    USAGE_LOST = "THN-USAGE-01", Warning,
        "requests to the model came faster than they could be written down",
        "is the disk full or slow? Sums of tokens have them all; the list of requests lacks them";

    MEMORY_SHORT = "THN-MEM-01", Warning,
        "the editors' memory limits add up to more than this host has",
        "most editors use a fraction of it; lower `sandbox.memory` if all are busy at a time";
    USER_MISSING = "THN-USER-01", Warning,
        "there is no user `thon`, so an appliance that root starts stays root",
        "`sudo thon install`, or `sudo thon up`, makes it";
    USER_GROUP = "THN-USER-02", Error,
        "the service's user `thon` is not in the group `docker`",
        "`sudo usermod -aG docker thon`, then `sudo systemctl restart thon`";
    UNIT_MISSING = "THN-UNIT-01", Warning,
        "no service is installed: after a restart of the host nobody starts the appliance",
        "`sudo thon install`";
    UNIT_OTHER = "THN-UNIT-02", Warning,
        "the service's unit is not the one of this version",
        "`sudo thon install` with the version that you want; changes of your own belong into a drop-in: `systemctl edit thon`";
    UNIT_OFF = "THN-UNIT-03", Warning,
        "the service is installed and does not start with the host",
        "`sudo systemctl enable thon`";
    UNIT_DOWN = "THN-UNIT-04", Error,
        "the service does not run",
        "`systemctl status thon` and `journalctl -u thon` say why; `sudo systemctl start thon`";
}
