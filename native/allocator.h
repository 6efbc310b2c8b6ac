/* The engine's memory, for JS_NewRuntime2: see allocator.c. */
#ifndef BLAZAR_ALLOCATOR_H
#define BLAZAR_ALLOCATOR_H

#include <stddef.h>

#include "quickjs.h"

/* The same functions at each call, or NULL when there is no memory for them. */
const JSMallocFunctions *blazar_allocator(void);

#endif
