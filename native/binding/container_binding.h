#pragma once

#include <napi.h>

/** `containers`: what is done with files and networks of containers, off the JS thread. */
Napi::Object initContainers(Napi::Env env, Napi::Object exports);
