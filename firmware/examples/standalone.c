/* A board that predicts with the net in its own flash, without a host: docs/DEPLOY.md.
 *
 * Each line of whole numbers that comes over the serial port, one a feature with anything between
 * them, is answered by a line with the prediction. An empty line asks what the net wants. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fixgrad.h"
#include "port.h"

#define FEATURES_MAX 1024u
#define WORK_BYTES 2048u
#define OUTPUTS_MAX 64u

/* Beyond what any feature can be. */
#define NUMBER_MAX 100000

static fixgrad_t net;
static int32_t work[WORK_BYTES / sizeof(int32_t)];
static int16_t features[FEATURES_MAX];

/* The line that is being read. */
static struct {
    uint32_t count; /* numbers that are complete */
    int32_t number;
    bool inside, negative; /* in the midst of a number; behind a minus */
    bool too_large;
} line;

static void say(const char *text)
{
    port_write((const uint8_t *)text, strlen(text));
}

static void say_number(int32_t number)
{
    char digits[12];
    uint32_t left = number < 0 ? 0u - (uint32_t)number : (uint32_t)number;
    char *at = digits + sizeof digits - 1;
    *at = '\0';
    do {
        *--at = (char)('0' + left % 10u);
        left /= 10u;
    } while (left != 0);
    if (number < 0) {
        *--at = '-';
    }
    say(at);
}

static void say_status(int status)
{
    say("error ");
    say_number(status);
    say("\n");
}

static void say_what_is_wanted(void)
{
    say_number(net.inputs);
    say(" features from ");
    say_number(net.feature_min);
    say(" to ");
    say_number(net.feature_max);
    say("\n");
}

static void answer(void)
{
    int32_t prediction[OUTPUTS_MAX];
    const int status = fixgrad_predict(&net, features, prediction);
    if (status != FIXGRAD_OK) {
        say_status(status);
        return;
    }
    for (uint32_t i = 0; i < net.predictions; i++) {
        say_number(prediction[i]);
        say(i + 1u < net.predictions ? " " : "\n");
    }
}

static void end_number(void)
{
    if (line.inside) {
        const int32_t number = line.negative ? -line.number : line.number;
        line.too_large = line.too_large || number < INT16_MIN || number > INT16_MAX;
        if (line.count < FEATURES_MAX) {
            features[line.count] = (int16_t)number;
        }
        line.count++;
    }
    line.inside = false;
    line.number = 0;
}

static void end_line(void)
{
    if (line.count == 0) {
        say_what_is_wanted();
    } else if (line.count != net.inputs) {
        say("error: ");
        say_number((int32_t)line.count);
        say(" numbers\n");
    } else if (line.too_large) {
        say_status(FIXGRAD_BAD_FEATURE);
    } else {
        answer();
    }
    line.count = 0;
    line.too_large = false;
}

static void receive(char c)
{
    if (c >= '0' && c <= '9') {
        line.inside = true;
        line.number = line.number * 10 + (c - '0');
        line.number = line.number < NUMBER_MAX ? line.number : NUMBER_MAX;
        return;
    }
    end_number();
    line.negative = c == '-';
    if (c == '\n') {
        end_line();
    }
}

int main(void)
{
    port_init();
    const int status = fixgrad_open(&net, work, sizeof work);
    if (status != FIXGRAD_OK || net.inputs > FEATURES_MAX) {
        say_status(status == FIXGRAD_OK ? FIXGRAD_NO_MEMORY : status);
    } else {
        say_what_is_wanted();
    }
    for (;;) {
        uint8_t c;
        if (port_read(&c, 1) == 0) {
            port_idle();
        } else if (status == FIXGRAD_OK && net.inputs <= FEATURES_MAX) {
            receive((char)c);
        }
    }
}
