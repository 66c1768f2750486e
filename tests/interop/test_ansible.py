"""Ansible with pipelining and its own ControlPersist: many short sessions, Python on stdin, sudo."""
import os
import subprocess

import pytest

PLAYBOOK = """
- hosts: box
  gather_facts: true
  tasks:
    - name: A file comes from the laptop
      copy: {src: "SRC", dest: ansible-file, mode: "0640"}
    - name: A command runs
      command: cat ansible-file
      register: seen
      changed_when: false
    - name: It says what was sent
      assert: {that: "seen.stdout == 'by ansible'"}
    - name: Root writes
      become: true
      copy: {content: "by root", dest: /root/ansible-file}
    - name: A file goes back
      fetch: {src: ansible-file, dest: "BACK", flat: true}
"""


@pytest.mark.interop("Ansible", "playbook with pipelining, become, copy, fetch")
def test_playbook(alice, door, tmp_path):
    (tmp_path / "src").write_text("by ansible")
    book = tmp_path / "book.yml"
    book.write_text(PLAYBOOK.replace("SRC", str(tmp_path / "src")).replace("BACK", str(tmp_path / "back")))
    *options, host = alice.target(door)
    name, _, address = host.partition("@")
    port = f"ansible_port={options[1]}" if door == "direct" else ""
    jump = f" -J {options[1]}" if door == "jump" else ""
    inventory = tmp_path / "inventory"
    inventory.write_text(f"box ansible_host={address} ansible_user={name} {port} "
                         f"ansible_python_interpreter=/usr/bin/python3 ansible_ssh_common_args='-F {alice.config}{jump}'\n")
    sockets = tmp_path / "cp"
    environment = dict(os.environ, HOME=str(tmp_path), ANSIBLE_PIPELINING="True", ANSIBLE_NOCOLOR="1",
                       ANSIBLE_LOCAL_TEMP=str(tmp_path / "local"), ANSIBLE_SSH_CONTROL_PATH_DIR=str(sockets),
                       ANSIBLE_SSH_ARGS="-C -o ControlMaster=auto -o ControlPersist=60s", ANSIBLE_SSH_RETRIES="0")
    run = subprocess.run(["ansible-playbook", "-i", inventory, book], env=environment, capture_output=True,
                         stdin=subprocess.DEVNULL, timeout=120)
    try:
        assert run.returncode == 0, run.stdout.decode() + run.stderr.decode()
        assert b"failed=0" in run.stdout and b"changed=3" in run.stdout
        assert (tmp_path / "back").read_text() == "by ansible"
        assert alice.ok("stat -c %a ansible-file; sudo cat /root/ansible-file") == "640\nby root"
    finally:
        alice.ok("sudo rm -f ansible-file /root/ansible-file")
        for socket in sockets.iterdir() if sockets.exists() else []:
            subprocess.run(["ssh", "-F", "/dev/null", "-O", "exit", "-o", f"ControlPath={socket}", host],
                           capture_output=True)
