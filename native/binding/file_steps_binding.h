#pragma once

#include <napi.h>

Napi::Object initFileSteps(Napi::Env env, Napi::Object exports);
