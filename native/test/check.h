#pragma once

#include <cstdio>
#include <cstdlib>

/** Ends the test program with the place and the text of what did not hold. */
#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                \
    }                                                                              \
  } while (false)

/** The expression throws an exception of this type. */
#define CHECK_THROWS(type, expression) \
  do {                                 \
    bool isThrown = false;             \
    try {                              \
      (void)(expression);              \
    } catch (const type&) {            \
      isThrown = true;                 \
    }                                  \
    CHECK(isThrown);                   \
  } while (false)
