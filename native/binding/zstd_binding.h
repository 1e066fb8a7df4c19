#pragma once

#include <napi.h>

/** Defines decompressFrame and compressFrame on `exports`. */
Napi::Object initZstd(Napi::Env env, Napi::Object exports);
