// Columns: cells are collected, then printed aligned. Control characters in cells become '?'.
#ifndef CONTROL_TABLE_H
#define CONTROL_TABLE_H

#include "base/fault.h"

// SGR sequences of ECMA-48, in colours that can be read on dark and on light.
#define TINT_GOOD "\033[32m"
#define TINT_CARE "\033[33m"
#define TINT_BAD "\033[31m"
#define TINT_END "\033[0m"

struct table;

struct table *table_new(void); // NULL when out of memory
void table_free(struct table *t);

// One row, cells split at tabs, so that a row is one printf. NULL table is fine.
void table_row(struct table *t, const char *format, ...) PRINTF_LIKE(2, 3);

// Colours the first cell of the row before: TINT_..., or "" for none.
void table_tint(struct table *t, const char *tint);

// The row before is not wrapped: it has a command to copy.
void table_keep_whole(struct table *t);

// Left out where a row would not fit its line otherwise: what another column says as well.
void table_spare(struct table *t, unsigned column);

// All rows, two blanks between columns, none at line ends. `screen` is the width of the terminal, 0 if there
// is none: then a row is a line. On a terminal columns that do not fit go on in a second line of each row,
// indented, and a last cell of many words is wrapped below itself. malloc'd; NULL when out of memory at any
// point.
char *table_text(struct table *t, unsigned screen);

#endif
