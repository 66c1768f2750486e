// Owns the compiled filter. An allow list: everything else fails with EPERM, and what only an attacker would
// try ends the process.
#include "gateway/sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

#include "base/log.h"
#include "gateway/control_link.h"

#define FILES_MAX 2048 // descriptors: two a channel and some; below CONTROL_FD_FIRST
_Static_assert(FILES_MAX <= CONTROL_FD_FIRST, "descriptors for connect(2) must be out of reach");

struct sandbox {
    struct sock_fprog program;
};

static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(eventfd2),
    SCMP_SYS(close),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(fcntl),
    SCMP_SYS(dup),
    SCMP_SYS(brk),
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(mprotect),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(fstat),
    SCMP_SYS(lseek),
    SCMP_SYS(sched_yield),
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(membarrier),
};

// The terminal ones are libedit's, for the pty the control plane hands to a console (prompt.c): modes and
// size. Not TIOCSTI, which types.
static const scmp_datum_t ioctls[] = {FIONREAD, FIONBIO, TCGETS, TCSETS, TCSETSW, TIOCGWINSZ, TIOCSWINSZ};

static const int deadly[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(clone),
    SCMP_SYS(clone3),
    SCMP_SYS(mount),
    SCMP_SYS(init_module),
    SCMP_SYS(kexec_load),
};

static int add_rules(scmp_filter_ctx filter)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof allowed / sizeof allowed[0]; i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; rc == 0 && i < sizeof deadly / sizeof deadly[0]; i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, deadly[i], 0);
    // The control plane may be connected to again after its restart, on sockets made for that. No other
    // descriptor may be connected: a TCP socket at hand could be dissolved and sent elsewhere, also by TCP
    // Fast Open.
    for (int i = 0; rc == 0 && i < CONTROL_FD_COUNT; i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(connect), 1,
                              SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)(CONTROL_FD_FIRST + i)));
    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 2,
                              SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0), SCMP_A4(SCMP_CMP_EQ, 0));
    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendmsg), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0));
    for (size_t i = 0; rc == 0 && i < sizeof ioctls / sizeof ioctls[0]; i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, ioctls[i]));
    return rc;
}

// libseccomp writes the program to a descriptor: a memfd, read back.
static enum err export_program(scmp_filter_ctx filter, struct sandbox *s, struct fault *f)
{
    enum err e = ERR_NONE;
    int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0 || seccomp_export_bpf(filter, fd) != 0) {
        e = fault_errno(f, ERR_IO, "cannot compile the system call filter");
        goto out;
    }
    off_t size = lseek(fd, 0, SEEK_END);
    s->program.len = (unsigned short)((size_t)size / sizeof *s->program.filter);
    s->program.filter = malloc((size_t)size);
    if (s->program.filter == NULL || pread(fd, s->program.filter, (size_t)size, 0) != size)
        e = fault_set(f, ERR_MEMORY, "cannot read the system call filter back");
out:
    if (fd >= 0)
        close(fd);
    return e;
}

enum err sandbox_prepare(struct sandbox **out, struct fault *f)
{
    *out = NULL;
    struct sandbox *s = calloc(1, sizeof *s);
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (s == NULL || filter == NULL || add_rules(filter) != 0) {
        fault_set(f, ERR_FAILED, "cannot build the system call filter");
        goto fail;
    }
    if (export_program(filter, s, f) != ERR_NONE)
        goto fail;
    seccomp_release(filter);
    *out = s;
    return ERR_NONE;
fail:
    if (filter != NULL)
        seccomp_release(filter);
    free(s);
    return f->code;
}

// Every file system right there is, granted for nothing (landlock(7)).
static void forbid_files(void)
{
    struct landlock_ruleset_attr rules = {.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
    if (fd < 0)
        return;
    if (syscall(SYS_landlock_restrict_self, fd, 0) != 0)
        log_event(LOG_LEVEL_WARN, "landlock_failed", "errno=%d", errno);
    close(fd);
}

enum err sandbox_enter(const struct sandbox *sandbox, struct fault *f)
{
    const struct rlimit none = {0, 0}, files = {FILES_MAX, FILES_MAX};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || setrlimit(RLIMIT_NOFILE, &files) != 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fault_errno(f, ERR_IO, "cannot limit the connection process");
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)sandbox; // the sanitizers open files to report
    (void)forbid_files;
#else
    forbid_files();
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &sandbox->program, 0, 0) != 0)
        return fault_errno(f, ERR_IO, "cannot enter the system call filter");
#endif
    return ERR_NONE;
}
