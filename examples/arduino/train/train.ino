// Trains on this board: fixgrad train RUN.toml --port PORT

#include <fixgrad.h>

// Memory for the model and its batch: `fixgrad plan RUN.toml` tells how many bytes a run needs.
alignas(8) static uint8_t arena[8 * 1024];

void setup() {
  Serial.begin(115200);
  fixgrad_begin(Serial, arena, sizeof arena);
}

void loop() {
  fixgrad_work();
}
