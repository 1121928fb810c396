/* QEMU plugin: how often each instruction ran between the first two calls of a function. Written
 * out when the emulator ends: address and count of every instruction that ran, a line each.
 * Arguments: at=ADDRESS of the function, out=FILE.
 *
 * The few declarations of QEMU's plugin interface that it needs stand here: version 1, the one of
 * QEMU 4.2 to 8. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*translate_t)(uint64_t id, struct qemu_plugin_tb *tb);
typedef void (*execute_t)(unsigned cpu, void *data);
typedef void (*end_t)(uint64_t id, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, translate_t function);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, execute_t function, int flags,
                                          void *data);
void qemu_plugin_register_atexit_cb(uint64_t id, end_t function, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = 1;

/* Instructions that QEMU translated together and that run together. */
typedef struct block {
    struct block *next;
    uint64_t runs;
    size_t count;
    uint32_t address[];
} block_t;

static block_t *blocks;
static uint32_t border;
static unsigned borders_passed;
static const char *out;

static void on_execute(unsigned cpu, void *data)
{
    block_t *block = data;
    (void)cpu;
    borders_passed += block->address[0] == border;
    block->runs += borders_passed == 1u;
}

static void on_translate(uint64_t id, struct qemu_plugin_tb *tb)
{
    const size_t count = qemu_plugin_tb_n_insns(tb);
    block_t *block = calloc(1, sizeof *block + count * sizeof block->address[0]);
    (void)id;
    if (block == NULL) {
        abort();
    }
    block->count = count;
    for (size_t i = 0; i < count; i++) {
        block->address[i] = (uint32_t)qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, i));
    }
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_execute, 0, block);
}

static void on_end(uint64_t id, void *data)
{
    FILE *file = fopen(out, "w");
    (void)id;
    (void)data;
    if (file == NULL) {
        abort();
    }
    for (const block_t *block = blocks; block != NULL; block = block->next) {
        for (size_t i = 0; block->runs != 0 && i < block->count; i++) {
            fprintf(file, "%x %llu\n", (unsigned)block->address[i],
                    (unsigned long long)block->runs);
        }
    }
    fclose(file);
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int count, char **arguments)
{
    (void)info;
    for (int i = 0; i < count; i++) {
        if (strncmp(arguments[i], "at=", 3) == 0) {
            border = (uint32_t)strtoul(arguments[i] + 3, NULL, 0) & ~1u;
        } else if (strncmp(arguments[i], "out=", 4) == 0) {
            out = strdup(arguments[i] + 4);
        }
    }
    if (out == NULL) {
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
