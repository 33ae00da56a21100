"""A real iSCSI target (tgtd) on loopback, in user space: no kernel takes part on either side."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.lab.paths import lab_path
from tests.lab.ports import free_port

NAME = "iqn.2024-11.test.farm:images"
INITIATOR = "iqn.2024-11.test.farm:host"
USER, PASSWORD = "farm", "a long password"
_BOOT_SECTOR = """\
.code16
.globl _start
_start: ljmp $0, $begin
begin:  xorw %ax, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movw $0x7c00, %sp
        movb %dl, drive
        movw $0x0201, %ax           # read the second sector and say what it holds
        call disk
        call say
        movb $'X', 0x7e00           # write it back with another first letter
        movw $0x0301, %ax
        call disk
        movb $'?', 0x7e00           # read it again
        movw $0x0201, %ax
        call disk
        call say
stop:   hlt
        jmp stop
disk:   movw $0x7e00, %bx
        movw $0x0002, %cx
        movb $0, %dh
        movb drive, %dl
        int $0x13
        jnc done
        movb $'E', 0x7e00
done:   ret
say:    movw $0x7e00, %si
next:   lodsb
        testb %al, %al
        jz said
        movw $0x3f8, %dx
        outb %al, %dx
        jmp next
said:   ret
drive:  .byte 0
        .org 510
        .word 0xaa55
"""


def bootable_disk(text: str, directory: Path) -> bytes:
    """Return a disk that boots without any system: it says `text`, writes an X over its first letter, and says it again."""
    source, program, out = (directory / f"sector.{ending}" for ending in ("S", "o", "bin"))
    source.write_text(_BOOT_SECTOR)
    subprocess.run(["as", "--32", "-o", program, source], check=True, timeout=120)
    link = ["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", out, program]
    subprocess.run(link, check=True, timeout=120)
    return out.read_bytes() + f"{text}\n".encode().ljust(512, b"\0") + bytes(2**20 - 1024)


class StorageTarget:
    """One tgtd with one target, which asks for a password; LUNs are files."""

    def __init__(self, name: str) -> None:
        self.directory = lab_path("iscsi", name)
        self.port = free_port()
        self._environment = {**os.environ, "TGT_IPC_SOCKET": str(self.directory / "control")}
        with (self.directory / "tgtd.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", "tgtd", "-f", "-C", "0", "--iscsi", f"portal=127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )
        until = time.monotonic() + 120
        while not self._tell("--op", "show", "--mode", "target", check=False):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"tgtd does not start: {(self.directory / 'tgtd.log').read_text()}")
            time.sleep(0.02)
        target = ("--mode", "target", "--tid", "1")
        self._tell("--op", "new", *target, "-T", NAME)
        self._tell("--op", "new", "--mode", "account", "--user", USER, "--password", PASSWORD)
        self._tell("--op", "bind", "--mode", "account", "--tid", "1", "--user", USER)
        self._tell("--op", "bind", *target, "-I", "127.0.0.1")

    def add(self, number: int, content: bytes) -> Path:
        """Serve a LUN; the file is what is on it."""
        path = self.directory / f"lun{number}.img"
        path.write_bytes(content)
        self._tell("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", str(number), "-b", str(path))
        return path

    def pool_xml(self, name: str, secret: str) -> str:
        """Return the XML of the pool; `secret` is the usage under which libvirt keeps the password."""
        return (
            f"<pool type='iscsi-direct'><name>{name}</name><source><host name='127.0.0.1' port='{self.port}'/>"
            f"<device path='{NAME}'/><initiator><iqn name='{INITIATOR}'/></initiator>"
            f"<auth type='chap' username='{USER}'><secret usage='{secret}'/></auth></source></pool>"
        )

    def initiators(self) -> int:
        """Return how many are logged in."""
        return self._tell("--op", "show", "--mode", "target").count("I_T nexus: ")

    def remove(self) -> None:
        """End it and forget its files."""
        self._process.kill()
        self._process.wait(120)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _tell(self, *words: str, check: bool = True) -> str:
        command = ["tgtadm", "-C", "0", "--lld", "iscsi", *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=120, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return "" if done.returncode else done.stdout or " "
