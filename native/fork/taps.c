/*
 * What the VMM has set of its taps, so that a copy's taps are like the original's: linux/if_tun.h, ioctl(2).
 *
 * A tap does not tell its offloads, so each request that sets something is noted when the VMM makes it. The last one of a
 * kind counts. The requests' arguments are all of one word.
 */
#include <linux/if_tun.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm-fork.h"

enum { MAX_SETTINGS = 64 };

static struct {
  int place;
  unsigned long request;
  unsigned long value; /* for TUNSETOFFLOAD itself, for the others what its address points to */
} settings[MAX_SETTINGS];
static int count;

static bool is_setting(unsigned long request) {
  return request == TUNSETOFFLOAD || request == TUNSETSNDBUF || request == TUNSETVNETHDRSZ || request == TUNSETVNETLE ||
         request == TUNSETVNETBE;
}

static void note(int place, unsigned long request, unsigned long argument) {
  int index = 0;
  while (index < count && (settings[index].place != place || settings[index].request != request)) index++;
  if (index == MAX_SETTINGS) return;
  settings[index].place = place;
  settings[index].request = request;
  settings[index].value = request == TUNSETOFFLOAD ? argument : (unsigned long)*(int *)argument;
  if (index == count) count++;
}

bool taps_repeat(int place) {
  for (int index = 0; index < count; index++) {
    if (settings[index].place != place) continue;
    int word = (int)settings[index].value;
    unsigned long request = settings[index].request;
    if (syscall(SYS_ioctl, place, request, request == TUNSETOFFLOAD ? settings[index].value : (unsigned long)&word) < 0)
      return false;
  }
  return true;
}

__attribute__((visibility("default"))) int ioctl(int place, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  unsigned long argument = va_arg(rest, unsigned long);
  va_end(rest);
  int result = (int)syscall(SYS_ioctl, place, request, argument);
  if (result >= 0 && control >= 0 && is_setting(request)) note(place, request, argument);
  return result;
}
