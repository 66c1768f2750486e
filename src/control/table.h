// Columns: cells are collected, then printed aligned. Control characters in cells become '?'.
#ifndef CONTROL_TABLE_H
#define CONTROL_TABLE_H

#include "base/fault.h"

struct table;

struct table *table_new(void); // NULL when out of memory
void table_free(struct table *t);

// One row, cells split at tabs, so that a row is one printf. NULL table is fine.
void table_row(struct table *t, const char *format, ...) PRINTF_LIKE(2, 3);

// All rows, two blanks between columns, none at line ends. malloc'd; NULL when out of memory at any point.
char *table_text(struct table *t);

#endif
