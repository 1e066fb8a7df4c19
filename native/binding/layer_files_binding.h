#pragma once

#include <napi.h>

Napi::Object initLayerFiles(Napi::Env env, Napi::Object exports);
