/* The setuid program of critest's image nonewprivs: it tells whether it runs as its file's owner. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
  return printf("Effective uid: %d\n", (int)geteuid()) < 0;
}
