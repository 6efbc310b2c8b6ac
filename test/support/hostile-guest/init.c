/*
 * The only program of a hostile guest: it drives the share's device itself and tries to reach files outside of the share.
 *
 * It is PID 1 of an initramfs without modules. It prints one JSON object an attack: {"name": …, "ok": true} if the attack
 * failed, else {"name": …, "ok": false, "why": …}. Then it prints "done" and halts. It expects in its share
 *
 *   c1/rootfs/   read-only layers, with
 *     file         "inside"
 *     directory/inner
 *     absolute     a symlink to the canary, a file on the host outside of the share
 *     climbing     a symlink to the canary's directory by ../../..
 *     fifo, device what mkfifo and mknod (1, 5) make
 *
 * and, beside the share, a directory `other` with a file `secret`. Canary and secret say "CANARY".
 */
#define _GNU_SOURCE
#include "ninep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT 0u
#define DIRECTORY 1u
#define SCRATCH 10u
#define SECRET "CANARY"

static struct qid root;

static void report(const char *name, const char *why, int result)
{
    if (why == NULL) printf("{\"name\":\"share/%s\",\"ok\":true}\n", name);
    else printf("{\"name\":\"share/%s\",\"ok\":false,\"why\":\"%s (%d: %s)\"}\n", name, why, result, strerror(result));
    fflush(stdout);
}

static bool forget(uint32_t fid)
{
    return ninep_call(TCLUNK, "d", fid) == 0;
}

/* Whether reading the fid, once opened, gives a secret of the host. */
static bool reads_secret(uint32_t fid)
{
    const uint8_t *bytes;
    if (ninep_call(TLOPEN, "dd", fid, (unsigned)O_RDONLY) != 0) return false;
    if (ninep_call(TREAD, "dqd", fid, (uint64_t)0, 512u) != 0) return false;
    ninep_number(4);
    size_t length = ninep_rest(&bytes);
    return memmem(bytes, length, SECRET, strlen(SECRET)) != NULL;
}

/* Walks from a directory by up to three names at once; where it ends must be the root, or nowhere. */
static void walk_out(const char *name, uint32_t from, unsigned count, const char *a, const char *b, const char *c)
{
    static const char *const formats[] = {"ddw", "ddws", "ddwss", "ddwsss"};
    int result = ninep_call(TWALK, formats[count], from, SCRATCH, count, a, b, c);
    unsigned walked = (unsigned)ninep_number(2);
    struct qid end = root;
    for (unsigned i = 0; i < walked && result == 0; i++) end = ninep_qid();
    const char *why = NULL;
    if (result == NO_ANSWER) why = "no answer";
    else if (result == 0 && walked == count) {
        if (reads_secret(SCRATCH)) why = "a secret of the host was read";
        else if (end.path != root.path) why = "walked to somewhere that is not the root";
        forget(SCRATCH);
    }
    report(name, why, result);
}

/* Opens something that is no business of a guest's. */
static void open_forbidden(const char *name, const char *file)
{
    const char *why = NULL;
    int result = ninep_call(TWALK, "ddws", DIRECTORY, SCRATCH, 1u, file);
    if (result != 0) why = "the file is not there: the test is wrong";
    else {
        result = ninep_call(TLOPEN, "dd", SCRATCH, (unsigned)(O_RDONLY | O_NONBLOCK));
        if (result == 0) why = "it was opened";
        else if (result == NO_ANSWER) why = "the host hangs";
        forget(SCRATCH);
    }
    report(name, why, result);
}

/* A request that would change the share: whatever it is, it must be refused. */
static void refuse(const char *name, int result)
{
    report(name, result == 0 ? "it was done" : result == NO_ANSWER ? "no answer" : NULL, result);
}

static void leave_by_names(void)
{
    walk_out("walk_up_from_the_root", ROOT, 1, "..", NULL, NULL);
    walk_out("walk_up_and_into_a_neighbour", ROOT, 3, "..", "other", "secret");
    walk_out("walk_up_through_a_container", DIRECTORY, 3, "..", "..", "..");
    walk_out("walk_up_in_one_name", ROOT, 1, "../other/secret", NULL, NULL);
    walk_out("walk_down_and_up_in_one_name", ROOT, 1, "c1/../../other/secret", NULL, NULL);
    walk_out("walk_to_an_absolute_name", ROOT, 1, "/etc/passwd", NULL, NULL);
    walk_out("walk_to_an_empty_name", ROOT, 2, "", "..", NULL);
    int result = ninep_call(TATTACH, "ddssd", SCRATCH, NO_FID, "root", "/..", 0u);
    struct qid attached = ninep_qid();
    report("attach_above_the_root", result == 0 && attached.path != root.path ? "attached elsewhere" : NULL, result);
    if (result == 0) forget(SCRATCH);
}

static void leave_by_links(void)
{
    walk_out("walk_through_an_absolute_symlink", DIRECTORY, 2, "absolute", "x", NULL);
    walk_out("walk_through_a_climbing_symlink", DIRECTORY, 2, "climbing", "canary", NULL);
    open_forbidden("open_an_absolute_symlink", "absolute");
    open_forbidden("open_a_climbing_symlink", "climbing");
    open_forbidden("open_a_device", "device");
    open_forbidden("open_a_fifo", "fifo");
}

static void change_the_share(void)
{
    unsigned now = 0;
    uint64_t none = 0;
    refuse("create_a_file", ninep_call(TLCREATE, "dsddd", DIRECTORY, "new", (unsigned)(O_CREAT | O_RDWR), 0777u, 0u));
    refuse("make_a_directory", ninep_call(TMKDIR, "dsdd", DIRECTORY, "new", 0777u, 0u));
    refuse("make_a_symlink", ninep_call(TSYMLINK, "dssd", DIRECTORY, "new", "/etc", 0u));
    refuse("make_a_device", ninep_call(TMKNOD, "dsdddd", DIRECTORY, "new", (unsigned)(S_IFBLK | 0777), 8u, 0u, 0u));
    refuse("rename_out", ninep_call(TRENAMEAT, "dsds", DIRECTORY, "file", ROOT, "../file"));
    refuse("rename_within", ninep_call(TRENAMEAT, "dsds", DIRECTORY, "file", DIRECTORY, "renamed"));
    refuse("remove_a_file", ninep_call(TUNLINKAT, "dsd", DIRECTORY, "file", 0u));
    refuse("set_the_root_s_mode",
        ninep_call(TSETATTR, "dddddqqqqq", ROOT, 1u, 0777u, now, now, none, none, none, none, none));
    if (ninep_call(TWALK, "ddws", DIRECTORY, SCRATCH, 1u, "file") != 0) {
        report("find_the_file", "the file is not there: the test is wrong", 0);
        return;
    }
    refuse("link_a_file", ninep_call(TLINK, "dds", ROOT, SCRATCH, "linked"));
    refuse("truncate_a_file",
        ninep_call(TSETATTR, "dddddqqqqq", SCRATCH, 8u, now, now, now, none, none, none, none, none));
    refuse("set_an_attribute", ninep_call(TXATTRCREATE, "dsqd", SCRATCH, "user.x", (uint64_t)1, 0u));
    forget(SCRATCH);
    unsigned writing[] = {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_RDWR | O_APPEND};
    for (size_t i = 0; i < sizeof writing / sizeof *writing; i++) {
        if (ninep_call(TWALK, "ddws", DIRECTORY, SCRATCH, 1u, "file") != 0) break;
        refuse("open_to_write", ninep_call(TLOPEN, "dd", SCRATCH, writing[i]));
        forget(SCRATCH);
    }
    if (ninep_call(TWALK, "ddws", DIRECTORY, SCRATCH, 1u, "file") == 0 && ninep_call(TLOPEN, "dd", SCRATCH, 0u) == 0)
        refuse("write_to_what_is_open_to_read", ninep_call(TWRITE, "dqds", SCRATCH, none, 2u, ""));
    refuse("remove_what_is_open", ninep_call(TREMOVE, "d", SCRATCH));
}

static void talk_nonsense(void)
{
    uint8_t unknown[] = {7, 0, 0, 0, 200, 1, 0};
    report("unknown_request_is_answered", ninep_raw(unknown, sizeof unknown) == 0 ? "it was done" : NULL, 0);
    refuse("unknown_fid", ninep_call(TREAD, "dqd", 4711u, (uint64_t)0, 16u));
    refuse("used_fid", ninep_call(TWALK, "ddw", ROOT, DIRECTORY, 0u));
    report("device_still_answers", forget(DIRECTORY) ? NULL : "it does not", 0);
    /* from here on no answer is an answer: a device that is lied to may stop for good, as long as QEMU goes on */
    int result = ninep_call(TWALK, "ddws", ROOT, SCRATCH, 16u, "c1");
    report("names_that_are_not_there_are_refused", result == 0 ? "it was done" : NULL, result);
    uint8_t liar[] = {0xff, 0xff, 0xff, 0x7f, TREAD, 1, 0, 0, 0, 0, 0};
    result = ninep_raw(liar, sizeof liar);
    report("length_beyond_the_buffer_is_refused", result == 0 ? "it was done" : NULL, result);
}

static const char *enter_share(void)
{
    if (!virtio_open()) return "there is no 9p device";
    if (ninep_call(TVERSION, "ds", 4096u, "9P2000.L") != 0) return "it does not speak 9P2000.L";
    if (ninep_call(TATTACH, "ddssd", ROOT, NO_FID, "root", "", 0u) != 0) return "it does not let us attach";
    root = ninep_qid();
    if (ninep_call(TWALK, "ddwss", ROOT, DIRECTORY, 2u, "c1", "rootfs") != 0) return "there is no c1/rootfs";
    return NULL;
}

int main(void)
{
    mkdir("/dev", 0755);
    mkdir("/proc", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    const char *why = enter_share();
    report("enter", why, 0);
    if (why == NULL) {
        leave_by_names();
        leave_by_links();
        change_the_share();
        talk_nonsense();
    }
    printf("done\n");
    fflush(stdout);
    reboot(RB_AUTOBOOT);
    for (;;) pause();
}
