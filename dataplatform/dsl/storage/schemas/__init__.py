"""The schema files of all kinds of record, and the module that derives them from the types."""

from dataplatform.dsl.storage.schemas.files import FOLDER, schema_files, schema_text, write_schemas

__all__ = ["FOLDER", "schema_files", "schema_text", "write_schemas"]
