/* The engine's memory, for JS_NewRuntime2 (allocator.c). */
#ifndef BLAZAR_ALLOCATOR_H
#define BLAZAR_ALLOCATOR_H

#include <stddef.h>

#include "quickjs.h"

/* The functions, the same at each call; NULL if there is no memory for the arena. */
const JSMallocFunctions *blazar_allocator(void);

#endif
