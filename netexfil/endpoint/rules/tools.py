"""Transfer tools by the names of their programs: one table, and the tool of every event that names one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# tool -> program names without .exe/.com; also compared with OriginalFileName.
TOOLS: Mapping[str, Sequence[str]] = {
    "rclone": ("rclone", "rclonebrowser", "rclone-browser"),
    "winscp": ("winscp", "winscpportable"),
    "pscp": ("pscp",),
    "psftp": ("psftp",),
    "plink": ("plink",),
    "scp": ("scp",),
    "sftp": ("sftp",),
    "rsync": ("rsync",),
    "filezilla": ("filezilla", "fzsftp", "fzputtygen", "fzstorj"),
    "curl": ("curl", "libcurl"),
    "wget": ("wget", "wget2"),
    "lftp": ("lftp", "lftpget"),
    "ncftp": ("ncftp", "ncftpput", "ncftpbatch"),
    "megacmd": ("megacmd", "megacmdserver", "mega-cmd", "mega-cmd-server", "mega-exec", "mega-put", "megaclient", "megacmdshell",
                "megacmdclient", "mega-sync"),
    "megasync": ("megasync",),
    "megatools": ("megatools", "megaput", "megacopy"),
    "restic": ("restic",),
    "borg": ("borg", "borgbackup"),
    "kopia": ("kopia",),
    "duplicity": ("duplicity",),
    "duplicati": ("duplicati", "duplicati.commandline", "duplicati.cli"),
    "s5cmd": ("s5cmd",),
    "s3cmd": ("s3cmd",),
    "s3browser": ("s3browser", "s3browser-win32", "s3browser-con"),
    "minio": ("mc",),
    "azcopy": ("azcopy",),
    "gsutil": ("gsutil", "gcloud"),
    "aws": ("aws", "aws2", "awscli"),
    "croc": ("croc",),
    "wormhole": ("wormhole", "magic-wormhole", "wormhole-william"),
    "cyberduck": ("cyberduck", "duck"),
    "freefilesync": ("freefilesync", "freefilesync_x64", "freefilesync_win32", "realtimesync"),
    "goodsync": ("goodsync", "gsync", "goodsync2go"),
    "syncthing": ("syncthing",),
    "dropbox": ("dropbox", "dropbox-uploader", "dropbox_uploader.sh"),
    "swaks": ("swaks",),
    "msmtp": ("msmtp",),
    "sendemail": ("sendemail", "blat", "mailsend", "mailsend-go"),
    "mutt": ("mutt", "neomutt"),
    "bitsadmin": ("bitsadmin",),
    "coreftp": ("coreftp", "corecmd"),
    "smartftp": ("smartftp", "sftpc", "scpc", "sftpg3", "scpg3"),
}


def register(con: duckdb.DuckDBPyConnection) -> None:
    """Temporary tables: `tool_name(name, tool)` and `tool_of(eid, tool, name)` for every event that names a tool.

    The tool is that of OriginalFileName, else of the program's name, else (for the ssh that a tool starts to carry it) of the parent's.
    """
    rows = [(name, tool) for tool, names in TOOLS.items() for name in names]
    con.execute("CREATE OR REPLACE TEMP TABLE tool_name (name VARCHAR, tool VARCHAR)")
    con.executemany("INSERT INTO tool_name VALUES (?, ?)", rows)
    con.execute(
        f"""CREATE OR REPLACE TEMP VIEW named AS
        SELECT *, {program("image")} AS name, {program("original_file_name")} AS original, {program("parent_image")} AS parent_name FROM event"""
    )
    con.execute(
        """CREATE OR REPLACE TEMP TABLE tool_of AS
        SELECT eid, e.name, original, coalesce(o.tool, n.tool, CASE WHEN e.name IN ('ssh', 'plink') THEN p.tool END) AS tool
        FROM (SELECT eid, name, original, parent_name FROM named WHERE image IS NOT NULL OR original_file_name IS NOT NULL) e
        LEFT JOIN tool_name o ON o.name = original LEFT JOIN tool_name n ON n.name = e.name LEFT JOIN tool_name p ON p.name = parent_name
        WHERE coalesce(o.tool, n.tool, CASE WHEN e.name IN ('ssh', 'plink') THEN p.tool END) IS NOT NULL"""
    )


def program(column: str) -> str:
    """SQL for the program's name: the last part of the path, lower case, without .exe or .com."""
    return f"lower(regexp_extract({column}, '([^\\\\/]+?)(?i:\\.exe|\\.com)?[\" ]*$', 1))"
