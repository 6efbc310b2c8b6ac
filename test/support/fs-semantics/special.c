/* link(2), symlink(2), mkfifo(3), unix(7), mknod(2): everything that is not a plain file. */
#include "check.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static const char *hard_link_is_the_same_file(void)
{
    struct stat one, other;
    REQUIRE(write_file("a", "x", 0644) && link("a", "b") == 0);
    REQUIRE(stat("a", &one) == 0 && stat("b", &other) == 0);
    REQUIRE(one.st_ino == other.st_ino && one.st_nlink == 2);
    REQUIRE(unlink("a") == 0 && stat("b", &other) == 0 && other.st_nlink == 1);
    return NULL;
}

static const char *symlink_keeps_its_text(void)
{
    char text[64];
    REQUIRE(symlink("/no/such//../place", "link") == 0);
    REQUIRE(readlink("link", text, sizeof text) == 18 && memcmp(text, "/no/such//../place", 18) == 0);
    REQUIRE_ERRNO(open("link", O_RDONLY), ENOENT);
    return NULL;
}

static const char *symlink_leads_to_its_target(void)
{
    REQUIRE(write_file("file", "x", 0644) && symlink("file", "one") == 0 && symlink("one", "two") == 0);
    REQUIRE(has_text("two", "x"));
    REQUIRE_ERRNO(open("two", O_RDONLY | O_NOFOLLOW), ELOOP);
    return NULL;
}

static const char *circle_of_symlinks_is_refused(void)
{
    REQUIRE(symlink("b", "a") == 0 && symlink("a", "b") == 0);
    REQUIRE_ERRNO(open("a", O_RDONLY), ELOOP);
    return NULL;
}

static int write_to_fifo(void)
{
    return write(open("fifo", O_WRONLY), "hey", 3) == 3 ? 0 : 1;
}

static const char *fifo_carries_data(void)
{
    char text[8];
    REQUIRE(mkfifo("fifo", 0644) == 0);
    pid_t writer = fork();
    if (writer == 0) _exit(write_to_fifo());
    int reader = open("fifo", O_RDONLY);
    REQUIRE(reader >= 0 && read(reader, text, sizeof text) == 3);
    return NULL;
}

static const char *unix_socket_listens(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    struct stat found;
    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(bind(server, (struct sockaddr *)&address, sizeof address) == 0 && listen(server, 1) == 0);
    REQUIRE(stat("socket", &found) == 0 && S_ISSOCK(found.st_mode));
    REQUIRE(chmod("socket", 0777) == 0);
    REQUIRE(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    return NULL;
}

static const char *device_node_is_the_device(void)
{
    struct stat found;
    REQUIRE(mknod("null", S_IFCHR | 0666, makedev(1, 3)) == 0);
    int fd = open("null", O_RDWR);
    REQUIRE(fd >= 0 && write(fd, "x", 1) == 1);
    REQUIRE(fstat(fd, &found) == 0 && found.st_rdev == makedev(1, 3));
    return NULL;
}

static const char *block_device_node_is_made(void)
{
    struct stat found;
    REQUIRE(mknod("block", S_IFBLK | 0600, makedev(7, 99)) == 0);
    REQUIRE(stat("block", &found) == 0 && S_ISBLK(found.st_mode) && found.st_rdev == makedev(7, 99));
    return NULL;
}

const struct check special_checks[] = {
    {"hard_link_is_the_same_file", hard_link_is_the_same_file},
    {"symlink_keeps_its_text", symlink_keeps_its_text},
    {"symlink_leads_to_its_target", symlink_leads_to_its_target},
    {"circle_of_symlinks_is_refused", circle_of_symlinks_is_refused},
    {"fifo_carries_data", fifo_carries_data},
    {"unix_socket_listens", unix_socket_listens},
    {"device_node_is_the_device", device_node_is_the_device},
    {"block_device_node_is_made", block_device_node_is_made},
    {NULL, NULL},
};
