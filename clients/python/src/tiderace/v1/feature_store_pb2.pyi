from tiderace.v1 import catalogue_pb2 as _catalogue_pb2
from tiderace.v1 import lookup_pb2 as _lookup_pb2
from tiderace.v1 import push_pb2 as _push_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
