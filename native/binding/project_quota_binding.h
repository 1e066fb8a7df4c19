#pragma once

#include <napi.h>

Napi::Object initProjectQuotas(Napi::Env env, Napi::Object exports);
