// For the incus_json*.c files of this folder only: the pieces that all shapes are read with.
#ifndef PROVISION_INCUS_JSON_PART_H
#define PROVISION_INCUS_JSON_PART_H

#include <jansson.h>

#include "provision/incus_json.h"

// NULL: not a JSON object, see *f.
json_t *incus_load(const char *data, size_t length, struct fault *f);
// Takes the object; malloc'd, NULL when out of memory (also of the object).
char *incus_dump(json_t *root);

const char *incus_text_of(const json_t *object, const char *key); // "" if there is none
uint64_t incus_number_of(const json_t *object, const char *key);  // 0 for negative ones and other types
int64_t incus_time_of(const char *text);                          // unix time; 0 for Go's zero time

#endif
