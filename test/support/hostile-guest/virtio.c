/*
 * The 9p device's registers and its queue, from user space: virtio 1.1, 4.2 (MMIO) and 2.6 (split virtqueues).
 *
 * Registers are mapped from /dev/mem; /proc/self/pagemap gives the addresses of the queue's pages. It polls and uses no
 * interrupts.
 */
#include "ninep.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* QEMU's microvm: include/hw/i386/microvm.h says where its transports are. */
#define TRANSPORTS 0xfeb00000u
#define TRANSPORT_BYTES 512
#define TRANSPORT_COUNT 32

#define MAGIC 0x74726976
#define DEVICE_9P 9
#define PAGE 4096
#define ENTRIES 16

enum { MAGIC_VALUE = 0x00, VERSION = 0x04, DEVICE = 0x08, FEATURES = 0x20, FEATURES_PAGE = 0x24, PAGE_SIZE = 0x28 };
enum { QUEUE = 0x30, QUEUE_SIZE = 0x38, QUEUE_ALIGN = 0x3c, QUEUE_PAGE = 0x40, QUEUE_READY = 0x44, NOTIFY = 0x50 };
enum { STATUS = 0x70, DESCRIPTORS = 0x80, AVAILABLE = 0x90, USED = 0xa0 };

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

/* One page. The used ring is where a version 1 device finds it when the alignment is 1024. */
struct queue {
    struct descriptor descriptors[ENTRIES];
    struct {
        uint16_t flags, index, ring[ENTRIES];
    } available;
    uint8_t room[1024 - ENTRIES * sizeof(struct descriptor) - 4 - 2 * ENTRIES];
    struct {
        uint16_t flags, index;
        struct {
            uint32_t id, length;
        } ring[ENTRIES];
    } used;
};

static volatile uint8_t *registers;
static volatile struct queue *queue;
static uint8_t *out, *in;
static uint64_t out_address, in_address, queue_address;

static uint32_t get(int offset)
{
    return *(volatile uint32_t *)(registers + offset);
}

static void put(int offset, uint32_t value)
{
    *(volatile uint32_t *)(registers + offset) = value;
}

static void put_address(int offset, uint64_t address)
{
    put(offset, (uint32_t)address);
    put(offset + 4, (uint32_t)(address >> 32));
}

/* A page that stays where it is, and where that is for the device. */
static void *device_page(uint64_t *address)
{
    uint64_t entry = 0;
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
    memset(page, 0, PAGE);
    int map = open("/proc/self/pagemap", O_RDONLY);
    if (pread(map, &entry, sizeof entry, (off_t)((uintptr_t)page / PAGE * sizeof entry)) != sizeof entry) entry = 0;
    close(map);
    *address = (entry & ((1ULL << 55) - 1)) * PAGE;
    return page;
}

static bool find_device(void)
{
    int memory = open("/dev/mem", O_RDWR | O_SYNC);
    size_t bytes = TRANSPORT_BYTES * TRANSPORT_COUNT;
    uint8_t *all = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, TRANSPORTS);
    if (memory < 0 || all == MAP_FAILED) return false;
    for (int i = 0; i < TRANSPORT_COUNT; i++) {
        registers = all + i * TRANSPORT_BYTES;
        if (get(MAGIC_VALUE) == MAGIC && get(DEVICE) == DEVICE_9P) return true;
    }
    return false;
}

bool virtio_open(void)
{
    if (!find_device()) return false;
    queue = device_page(&queue_address);
    out = device_page(&out_address);
    in = device_page(&in_address);
    put(STATUS, 0);
    put(STATUS, 1 | 2);
    bool modern = get(VERSION) >= 2;
    put(FEATURES_PAGE, 1);
    put(FEATURES, modern ? 1 : 0);
    put(FEATURES_PAGE, 0);
    put(FEATURES, 0);
    if (modern) put(STATUS, 1 | 2 | 8);
    put(QUEUE, 0);
    if (!modern) put(PAGE_SIZE, PAGE);
    put(QUEUE_SIZE, ENTRIES);
    if (modern) {
        put_address(DESCRIPTORS, queue_address + offsetof(struct queue, descriptors));
        put_address(AVAILABLE, queue_address + offsetof(struct queue, available));
        put_address(USED, queue_address + offsetof(struct queue, used));
        put(QUEUE_READY, 1);
    } else {
        put(QUEUE_ALIGN, 1024);
        put(QUEUE_PAGE, (uint32_t)(queue_address / PAGE));
    }
    put(STATUS, get(STATUS) | 4);
    return true;
}

static bool wait_for_answer(uint16_t before)
{
    struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 5000; i++) {
        if (queue->used.index != before) return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

int virtio_exchange(const uint8_t *request, size_t length, uint8_t *answer, size_t room)
{
    if (length > PAGE) return NO_ANSWER;
    uint16_t before = queue->used.index;
    memcpy(out, request, length);
    memset(in, 0, PAGE);
    queue->descriptors[0] = (struct descriptor){out_address, (uint32_t)length, 1, 1};
    queue->descriptors[1] = (struct descriptor){in_address, PAGE, 2, 0};
    queue->available.ring[queue->available.index % ENTRIES] = 0;
    __sync_synchronize();
    queue->available.index++;
    __sync_synchronize();
    put(NOTIFY, 0);
    if (!wait_for_answer(before)) return NO_ANSWER;
    memcpy(answer, in, room < PAGE ? room : PAGE);
    return (int)queue->used.ring[before % ENTRIES].length;
}
